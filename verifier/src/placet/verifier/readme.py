"""What a bundle says of itself to whoever unpacks it; as the dossier, made here by who makes it and who checks it."""

from __future__ import annotations

import re
from typing import NamedTuple

README = "README.txt"
_WINDOWS = re.compile(rb"\nLeft out: ([1-9][0-9]{0,17}) windows of measurements \(model\.observed\)\.\n")
_PRIVATE = re.compile(rb"\nLeft out: ([1-9][0-9]{0,17}) events that are private to others than who asked\.\n")
_WORDS = """\
Evidence of the project {project}, as the log {origin} had it at {at}.

dossier.html      to be read by people: the technical documentation of Annex IV of the EU AI Act
manifest.json     every file here, with its digest
checkpoint.txt    how large the log is and which root its tree has, signed by the log
events/           what was said, byte for byte, each with the proof that it is in that tree
keys/log.txt      the log's own word on its keys: compare it with what you were told another way
policies/, facts/, people/, certificates/, assessments/, questionnaires/, answers/, images/
                  what the events name by digest, as far as the registry has it still

To check all of it with nothing but a Python, and to run the rules again on the recorded facts:

    python3 verifier.py ARCHIVE.zip --log-key NAME+ID+KEY
{left_out}"""


class LeftOut(NamedTuple):
    """What is not in the bundle: windows of measurements, and events that who asked for it may not read."""

    windows: int = 0
    private: int = 0


def readme(project: str, origin: str, at: str, left_out: LeftOut) -> str:
    told = ""
    if left_out.windows:
        told += f"\nLeft out: {left_out.windows} windows of measurements (model.observed).\n"
    if left_out.private:
        told += f"\nLeft out: {left_out.private} events that are private to others than who asked.\n"
    return _WORDS.format(project=project, origin=origin, at=at, left_out=told)


def left_out_of(words: bytes) -> LeftOut:
    """What a README says was left out, which nothing else in the bundle tells."""
    found = (each.search(words) for each in (_WINDOWS, _PRIVATE))
    return LeftOut(*(int(each[1]) if each else 0 for each in found))
