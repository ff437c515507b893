"""The process in which a folder that a stranger filled becomes an archive: `python -P -m placet.projects.packing …`.

What was sent is unpacked, what its `.placetignore` names is left out, a folder of MLflow's is recognised, and the
rest is packed as `placet deploy` packs it: the same files have the same digest. Nothing of it is run or loaded.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import msgspec

from placet.projects import (
    MANIFEST_NAME,
    Limits,
    dump_manifest,
    only_folder,
    pack,
    trial_manifest,
    unpack_sent,
)
from placet.projects.bounded import MEMORY_BYTES, answer, asked

SECONDS = 60
"""Of processor time; the largest archive takes some ten."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that was written. `left_out` are the names of the files that came and are not in it."""

    digest: str
    is_trial: bool
    left_out: tuple[str, ...]


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    folder: str
    archive: str
    limits: Limits
    sent: str | None


async def packed(
    folder: Path,
    archive: Path,
    limits: Limits,
    *,
    sent: Path | None = None,
    memory: int = MEMORY_BYTES,
    seconds: int = SECONDS,
) -> Packed:
    """Pack the folder to `archive`. With a zip or tar that was `sent`, it is unpacked to `folder` first, and removed.

    Raises Refused and TooLarge, also for what takes more than so many bytes of memory or seconds of processor time.
    """
    wanted = _Wanted(
        folder=str(folder), archive=str(archive), limits=limits, sent=None if sent is None else str(sent)
    )
    question = msgspec.json.encode(wanted).decode()
    return msgspec.convert(await asked(__name__, question, memory=memory, seconds=seconds), Packed)


def _packed(arguments: Sequence[str]) -> Packed:
    wanted = msgspec.json.decode(arguments[0], type=_Wanted)
    folder, left_out = Path(wanted.folder), set[str]()
    if wanted.sent is not None:
        left_out.update(unpack_sent(Path(wanted.sent), folder, wanted.limits))
        Path(wanted.sent).unlink()
        folder = only_folder(folder)
    trial = None if (folder / MANIFEST_NAME).exists() else trial_manifest(folder)
    manifest = None if trial is None else dump_manifest(trial).encode()
    made = pack(folder, Path(wanted.archive), wanted.limits, manifest=manifest)
    left_out |= _names_below(folder) - {file.path for file in made.files}
    return Packed(digest=made.digest, is_trial=trial is not None, left_out=tuple(sorted(left_out)))


def _names_below(folder: Path) -> set[str]:
    """The files in it, by the names that an archive has for them; bytes that are no text are question marks."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {unicodedata.normalize("NFC", file).encode(errors="replace").decode() for file in files}


if __name__ == "__main__":
    answer(sys.argv[1:], _packed)
