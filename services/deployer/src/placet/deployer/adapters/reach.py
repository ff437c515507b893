"""What users without any rights can reach: modes of files and of the folders above them, nothing of ACLs.

Models that run as users of their own need this Python and a place for their files. Both may lie where only we
can go: a Python below /root, a platform whose data is its own. What cannot be reached is laid out once more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from placet.errors import Refused

STATE = Path("/var/lib/placet")
"""Where the file system's standard puts what belongs to a daemon."""
_NOT_NEEDED = shutil.ignore_patterns("site-packages", "test", "idlelib", "turtledemo", "config-*", "*.a")


@dataclass(frozen=True, kw_only=True)
class Python:
    """An interpreter, and what it needs in its environment to be found whole."""

    executable: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def place_for_models(instances: Path, wished: Path | None) -> Path:
    """A folder that everybody can pass through, for one deployer's models. Raises `Refused` where there is none.

    Not where the instances' records lie: that is the platform's own, and so may be every folder above it.
    """
    base = wished or STATE
    place = base / _name_of(instances.resolve())
    try:
        for folder, mode in ((base, 0o755), (place, 0o711)):
            if not folder.exists():
                folder.mkdir(parents=True)
                folder.chmod(mode)  # whatever the umask
        found = place.stat()
    except OSError as error:
        raise Refused(
            f"{place}, for what models run from, cannot be made: {error}", fix=_ELSEWHERE
        ) from error
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(f"others may change {place}, which models run from", fix=_ELSEWHERE)
    if not is_passable(place):
        raise Refused(f"models' own users cannot reach {place}", fix=_ELSEWHERE)
    return place.resolve()


_ELSEWHERE = "set PLACET_MODEL_FOLDER to a folder that every user can pass through"


def this_python() -> Python:
    return Python(executable=Path(sys.executable))


def python_for_models(place: Path) -> Python:
    """This Python where everybody reaches it, or else its likeness below `place`."""
    own = _parts_of_python()
    if all(is_readable(path) for path in own.values()):
        return Python(executable=own["executable"])
    return python_below(place)


def python_below(place: Path) -> Python:
    """This Python once more, made if it is not there yet: by hard links, so it takes no room on the same disk."""
    own = _parts_of_python()
    changed = str(own["executable"].stat().st_mtime_ns)
    home = place / "python" / _name_of(*own.values(), changed)
    executable = home / "bin" / own["executable"].name
    libraries = home / sys.platlibdir
    if not executable.exists():
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(
            own["library"], libraries / own["library"].name, ignore=_NOT_NEEDED, copy_function=_lay_out
        )
        if "shared" in own:
            _lay_out(str(own["shared"]), str(libraries / own["shared"].name))
        executable.parent.mkdir()
        _lay_out(str(own["executable"]), str(executable))  # last: it says that all is there
        for folder in (home.parent, home, *(path for path in home.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    return Python(
        executable=executable,
        environment={"LD_LIBRARY_PATH": str(libraries)} if "shared" in own else {},
    )


def is_passable(path: Path) -> bool:
    """Whether everybody may go through this folder, and through all above it."""
    path = path.resolve()
    return all(_mode(each) & stat.S_IXOTH for each in (path, *path.parents))


def is_readable(path: Path) -> bool:
    path = path.resolve()
    return bool(_mode(path) & stat.S_IROTH) and is_passable(path if path.is_dir() else path.parent)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


def _parts_of_python() -> Mapping[str, Path]:
    """What an interpreter without any packages consists of; `-S` leaves out the virtual environment's."""
    parts = {
        "executable": Path(getattr(sys, "_base_executable", sys.executable)).resolve(),
        "library": Path(sysconfig.get_path("stdlib")).resolve(),
    }
    shared = Path(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and shared.is_file():
        parts["shared"] = shared
    return parts


def _lay_out(source: str, target: str) -> None:
    """By a hard link, unless that crosses file systems or the file itself is closed to others."""
    source = os.path.realpath(source)
    mode = os.stat(source).st_mode
    if mode & stat.S_IROTH:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    else:
        shutil.copy2(source, target)
        os.chmod(target, mode | (0o055 if mode & stat.S_IXUSR else 0o044))


def _name_of(*parts: Path | str) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]
