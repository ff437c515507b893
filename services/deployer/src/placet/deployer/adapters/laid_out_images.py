"""Images' files where models' own users read them: once for all instances of an image, by hard links.

    <folder>/              root's: others pass through it, and see nothing
    <folder>/<key>/        root's: the image's own group may look
    <folder>/<key>/app/    the image's files
    <folder>/.partial/     what is being made or removed

Whoever runs an image is started with its group, and with that of no other. An image is held by a link in the place
of each instance that runs it; of those that nobody holds some stay, so that what is stopped and started, updated or
rolled back need not be laid out again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from placet.oci import link_tree
from placet.oci.files import new_folder, sweep

IDLE = 8
"""Images that nobody holds and that stay, those that were held last."""


class LaidOutImages:
    """All calls block. `links` gives all that lead to images, `new_group` a number that no user and no group has."""

    def __init__(
        self, folder: Path, *, links: Callable[[], Iterable[Path]], new_group: Callable[[], int]
    ) -> None:
        self._folder = folder
        self._links = links
        self._new_group = new_group
        self._turn = threading.Lock()
        """Held while it is decided which images stay, and while one is taken hold of."""

    def hold(self, link: Path, files: Path) -> int:
        """The group of those who may read the image whose files are at `files`, for as long as `link`, which is made,
        leads to them."""
        image = self._folder / _key(files)
        while True:
            if not image.is_dir():
                self._lay_out(files, image)
            with self._turn, suppress(FileNotFoundError):  # it went meanwhile
                os.utime(image)
                link.symlink_to(image / "app")
                return image.stat().st_gid

    def remove_idle(self) -> None:
        """All that nobody holds, but for some that were held last."""
        if len(self._all()) <= IDLE:
            return
        with (
            self._new_folder() as leaving
        ):  # where it is removed, what is half removed being nobody's image any more
            self._move_idle(leaving)

    def groups(self) -> set[int]:
        return {each.stat().st_gid for each in self._all()}

    def _all(self) -> list[Path]:
        try:
            return [each for each in self._folder.iterdir() if each != self._partial]
        except FileNotFoundError:
            return []

    def _move_idle(self, to: Path) -> None:
        with self._turn:
            held = {_image_of(each) for each in self._links()}
            idle = sorted((each for each in self._all() if each not in held), key=_last_held)
            for each in idle[:-IDLE]:
                each.rename(to / each.name)

    def _lay_out(self, files: Path, image: Path) -> None:
        with self._new_folder() as work:
            made = work / "image"
            made.mkdir()
            link_tree(files, made / "app")
            made.chmod(0o750)
            with self._turn:
                if not image.exists():  # nobody was faster
                    os.chown(made, os.geteuid(), self._new_group())
                    made.rename(image)

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        sweep(self._partial)
        with new_folder(self._partial) as work:
            yield work

    @property
    def _partial(self) -> Path:
        return self._folder / ".partial"


def _key(files: Path) -> str:
    """Another one once they were unpacked anew, after somebody threw away what was damaged."""
    found = files.stat()
    return hashlib.sha256(f"{files.resolve()}\0{found.st_ino}\0{found.st_mtime_ns}".encode()).hexdigest()[:32]


def _last_held(image: Path) -> int:
    return image.stat().st_mtime_ns


def _image_of(link: Path) -> Path | None:
    try:
        return link.readlink().parent
    except OSError:  # it is being made, or of a time when each instance had files of its own
        return None
