"""The model card: Hugging Face's metadata in front, prose below. Read offline.

Only the metadata that rules can use is typed: licence, tags, data sets, metrics and language; what else people put
there is left alone, as their schema grows faster than ours. A card without metadata is a card with prose.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from placet.projects.documents import DocumentRefused, Problem, read_plain

MAX_CARD_BYTES = 1024 * 1024
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?(.*)\Z", re.DOTALL | re.MULTILINE)


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`licence` is the card's `license` as it stands, for example `apache-2.0`; `prose` is Markdown."""

    licence: str | None = None
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    prose: str = ""

    @property
    def words(self) -> int:
        return len(self.prose.split())


def parse_card(data: bytes, *, name: str = "the card") -> Card:
    """Read a card, or raise `DocumentRefused` with every problem in its metadata."""
    if len(data) > MAX_CARD_BYTES:
        raise DocumentRefused(
            name, (Problem("", f"{len(data)} bytes are over the limit of {MAX_CARD_BYTES}"),)
        )
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DocumentRefused(name, (Problem("", f"not UTF-8 text: {error.reason}"),)) from error
    found = _FRONT.match(text)
    if found is None:
        return Card(prose=text)
    metadata = read_plain(found[1].encode(), document=name)
    return _card(metadata if metadata is not None else {}, found[2], name)


def _card(metadata: Any, prose: str, name: str) -> Card:
    if not isinstance(metadata, dict):
        raise DocumentRefused(
            name, (Problem("", "its metadata is not a mapping", "write `license: …` there"),)
        )
    problems: list[Problem] = []
    licence = metadata.get("license")
    if licence is not None and not isinstance(licence, str):
        problems.append(Problem("license", "is not text", "write an SPDX identifier such as apache-2.0"))
    lists = {key: _texts(metadata, key, problems) for key in ("tags", "datasets", "metrics", "language")}
    if problems:
        raise DocumentRefused(name, tuple(problems))
    return Card(
        licence=licence or None,
        tags=lists["tags"],
        datasets=lists["datasets"],
        metrics=lists["metrics"],
        languages=lists["language"],
        prose=prose,
    )


def _texts(metadata: dict[str, Any], key: str, problems: list[Problem]) -> tuple[str, ...]:
    value = metadata.get(key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        problems.append(Problem(key, "is not a list of texts"))
        return ()
    return tuple(items)
