"""Where an instance lives, and as whom.

Where the deployer may become other users (`OwnUsers`), each instance gets one of its own: a number at random, where
nobody gives numbers to people, programs or containers. It has no name and one group, its image's, and it reaches two
folders:

    <place>/               root's: others pass through it, and see nothing
    <place>/images/<key>/  an image's files, as links: to be read (`laid_out_images.py`)
    <place>/<id>/          root's: its user may look
    <place>/<id>/app       leads to its image
    <place>/<id>/tmp/      its own: TMPDIR and HOME; that it owns it says who it is

So no model reads or signals another, nor us; and who was started as that user ends with it, whatever it did to look
like somebody else. Everywhere else (`SameUser`) models run as we do, and are known by what is in their
environment, which holds for those who do not hide.
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from placet.deployer.adapters.laid_out_images import LaidOutImages
from placet.deployer.adapters.processes import (
    MARK,
    is_over,
    kill,
    kill_all_of,
    mark,
    marked,
    processes_of,
    users,
)
from placet.deployer.adapters.reach import Python, place_for_models, python_for_models, this_python
from placet.errors import Refused

log = logging.getLogger(__name__)

UNUSED = range(1_879_048_192, 2_147_352_576)
"""Users that nothing gives away, by https://systemd.io/UIDS-GIDS/."""
FEWER = range(61_184, 65_520)
"""For containers that have 65,536 users: those that systemd gives to services for a while, as we do."""
_OF_ALL = ("images", "python")
"""Folders in a place that are no instance's: an instance has a number at its end."""
_CHOWN, _DAC_OVERRIDE, _KILL, _SETGID, _SETUID = 0, 1, 5, 6, 7
_NEEDED = sum(1 << each for each in (_CHOWN, _DAC_OVERRIDE, _KILL, _SETGID, _SETUID))
MOST_ENTRIES = 100_000
"""Files and folders in a scratch folder. More are as good as too much: counting them takes us too long."""


@dataclass(frozen=True, kw_only=True)
class Lodging:
    """What an instance finds. `user` is None where it is ours, and then there are no `groups`."""

    app: Path
    scratch: Path
    user: int | None = None
    groups: Sequence[int] = ()


class Lodgings(Protocol):
    """All calls block."""

    python: Python

    def move_in(self, id: str, app: Path) -> Lodging:
        """A place for an instance whose image's files are at `app`. Whoever was there before is gone."""

    def move_out(self, id: str) -> None:
        """End everything that the instance started, and remove what it wrote. May be repeated."""

    def scratch(self, id: str) -> Path: ...

    def ids(self) -> Sequence[str]:
        """Who has a place."""

    def is_home(self, id: str, process: psutil.Process) -> bool:
        """Whether this process is that instance's. Raises what psutil raises."""

    def inhabitants(self) -> Mapping[str, Sequence[psutil.Process]]:
        """The processes of instances, by id."""

    def close(self) -> None:
        """Leave nothing behind, unless somebody still lives here."""


def lodgings(instances: Path, *, place: Path | None, own_users: bool | None) -> Lodgings:
    """Models' own users or ours; None for `own_users` takes what there is. Raises `Refused`."""
    given = None if own_users is False else users_to_give()
    if given is not None:
        return OwnUsers(place_for_models(instances, place), given)
    if own_users:
        raise Refused(
            "models cannot have users of their own: this deployer may not become other users",
            fix="run it as root, or set PLACET_MODEL_USER to deployer for models that you trust",
        )
    log.warning(
        "models run as the deployer's own user: they can read and write what it can, its keys and the other models'"
        " files too, and end each other; a deployer that runs as root gives each a user of its own"
    )
    return SameUser(instances)


def users_to_give() -> range | None:
    """Users that we may become and nobody has, or None: we are not root, or a root that may do too little."""
    if os.geteuid() != 0 or _capabilities() & _NEEDED != _NEEDED:
        return None
    return next((each for each in (UNUSED, FEWER) if _is_mapped(each)), None)


class OwnUsers:
    """A `Lodgings` below `place`, with a user of `users` for each instance."""

    def __init__(self, place: Path, users: range) -> None:
        self._place = place
        self._users = users
        self._images = LaidOutImages(place / "images", links=self._links, new_group=self._new_number)
        self.python = python_for_models(place)

    def move_in(self, id: str, app: Path) -> Lodging:
        self.move_out(id)
        user = self._new_number()
        home, scratch = self._place / id, self.scratch(id)
        home.mkdir(mode=0o700)
        scratch.mkdir(mode=0o700)
        os.chown(scratch, user, user)
        group = self._images.hold(home / "app", app)
        os.chown(home, os.geteuid(), user)
        home.chmod(0o750)
        return Lodging(app=home / "app", scratch=scratch, user=user, groups=(group,))

    def move_out(self, id: str) -> None:
        user = self._user(id)
        if user is not None:
            kill_all_of(user, self.python)
        _remove(self._place / id)
        self._images.remove_idle()

    def scratch(self, id: str) -> Path:
        return self._place / id / "tmp"

    def ids(self) -> Sequence[str]:
        try:
            return [each.name for each in self._place.iterdir() if each.name not in _OF_ALL]
        except FileNotFoundError:  # it was closed
            return []

    def is_home(self, id: str, process: psutil.Process) -> bool:
        return process.uids().real == self._user(id) and not is_over(process)

    def inhabitants(self) -> Mapping[str, Sequence[psutil.Process]]:
        ids = {user: id for id in self.ids() if (user := self._user(id)) is not None}
        found = defaultdict(list)
        for process, user in processes_of(ids) if ids else ():
            if not is_over(process):
                found[ids[user]].append(process)
        return found

    def close(self) -> None:
        if not self.ids():
            for each in _OF_ALL:
                _remove(self._place / each)
            with suppress(OSError):  # it may be somebody's own folder, with more in it
                self._place.rmdir()

    def _user(self, id: str) -> int | None:
        """Whose scratch folder it is: nobody but us can give it to somebody else."""
        try:
            user = self.scratch(id).stat().st_uid
        except FileNotFoundError:
            return None
        return user if user in UNUSED or user in FEWER else None

    def _new_number(self) -> int:
        """For a user and a group, that nobody has."""
        taken = {self._user(id) for id in self.ids()} | {user for _, user in users()} | self._images.groups()
        while (number := secrets.choice(self._users)) in taken:
            pass
        return number

    def _links(self) -> Sequence[Path]:
        return [self._place / id / "app" for id in self.ids()]


class SameUser:
    """A `Lodgings` for whom nobody can become somebody else: scratch folders beside the instances' records."""

    def __init__(self, instances: Path) -> None:
        self._instances = instances
        self.python = this_python()

    def move_in(self, id: str, app: Path) -> Lodging:
        self.move_out(id)
        self.scratch(id).mkdir(parents=True, exist_ok=True)
        return Lodging(app=app, scratch=self.scratch(id))

    def move_out(self, id: str) -> None:
        kill(self.inhabitants().get(id, ()))
        _remove(self.scratch(id))

    def scratch(self, id: str) -> Path:
        return self._instances / id / "tmp"

    def ids(self) -> Sequence[str]:
        return [each.parent.name for each in self._instances.glob("*/tmp")]

    def is_home(self, id: str, process: psutil.Process) -> bool:
        return process.environ().get(MARK) == mark(self._instances, id)

    def inhabitants(self) -> Mapping[str, Sequence[psutil.Process]]:
        return marked(self._instances)

    def close(self) -> None:
        """All that there is lies with the records."""


def holds_more_than(folder: Path, size: int) -> bool:
    """Whether the files below `folder` take more than so many bytes of the disk, or cannot be counted."""
    left, entries = size, MOST_ENTRIES
    folders = [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    left -= entry.stat(follow_symlinks=False).st_blocks * 512
                    entries -= 1
                    if left < 0 or entries < 0:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it went while we looked
        except OSError:
            return True  # so deep that it has no name, or hidden
    return False


def _remove(folder: Path) -> None:
    """By `rm`, which stumbles over nothing that a model may have made, however deep."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=False)  # noqa: S603, S607 - wherever it is


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _is_mapped(users: range) -> bool:
    """Whether all these users and groups exist in the user namespace that we are in."""
    return all(
        any(
            first <= users[0] and users[-1] < first + count
            for first, _, count in (map(int, line.split()) for line in Path(path).read_text().splitlines())
        )
        for path in ("/proc/self/uid_map", "/proc/self/gid_map")
    )
