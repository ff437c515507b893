"""The model card: Hugging Face's metadata in front, prose below. Read offline.

Only the metadata that rules and searches can use is typed: licence, tags, data sets, metrics, language and the results
of `model-index`; what else people put there is left alone, as their schema grows faster than ours. So are results that
are not numbers. A card without metadata is a card with prose.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec

from placet.projects.documents import DocumentRefused, Problem, read_plain

MAX_CARD_BYTES = 1024 * 1024
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*$\n?(.*)\Z", re.DOTALL | re.MULTILINE)


MAX_RESULTS = 200

_SECTIONS = {
    "use": re.compile(r"\b(?:use|uses|usage|intended)\b", re.IGNORECASE),
    "limits": re.compile(
        r"\b(?:limit|limits|limitations?|risks?|bias|caveats?|out[- ]of[- ]scope)\b", re.IGNORECASE
    ),
    "data": re.compile(r"\b(?:data|datasets?|training)\b", re.IGNORECASE),
    "results": re.compile(r"\b(?:results?|evaluation|metrics|performance)\b", re.IGNORECASE),
}
"""What a heading is about, by its words: those of Hugging Face's template for cards, and plainer ones."""
_TO_FILL_IN = "[More Information Needed]"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One result that the card tells: `metric` is its type, such as `accuracy`; `dataset` the name of the data."""

    metric: str
    value: float
    dataset: str | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`licence` is the card's `license` as it stands, for example `apache-2.0`; `prose` is Markdown."""

    licence: str | None = None
    tags: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    results: tuple[Measured, ...] = ()
    prose: str = ""

    @property
    def words(self) -> int:
        return len(self.prose.split())

    @property
    def sections(self) -> tuple[str, ...]:
        """Which of `use`, `limits`, `data` and `results` the prose has: a heading (`## Limits`) with words below it.

        Hugging Face's template says what to write in remarks and marks what is not written yet: neither is words.
        """
        told = {name for title in _titles_with_words(self.prose) for name in _about(title)}
        return tuple(name for name in _SECTIONS if name in told)


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
        results=tuple(_results(metadata.get("model-index")))[:MAX_RESULTS],
        prose=prose,
    )


def _texts(metadata: dict[str, Any], key: str, problems: list[Problem]) -> tuple[str, ...]:
    value = metadata.get(key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        problems.append(Problem(key, "is not a list of texts"))
        return ()
    return tuple(items)


def _results(index: Any) -> Iterator[Measured]:
    """`model-index: [{results: [{dataset: {name}, metrics: [{type, value}]}]}]`, as far as it has that form."""
    for model in _mappings(index):
        for result in _mappings(model.get("results")):
            dataset = result.get("dataset")
            name = dataset.get("name") if isinstance(dataset, dict) else None
            for metric in _mappings(result.get("metrics")):
                kind, value = metric.get("type"), _number(metric.get("value"))
                if isinstance(kind, str) and 0 < len(kind) <= 100 and value is not None:
                    yield Measured(metric=kind, value=value, dataset=name if isinstance(name, str) else None)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _mappings(value: Any) -> Iterator[dict[Any, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _titles_with_words(prose: str) -> set[str]:
    """The headings that have words below them, in their own section or in one within it."""
    told: set[str] = set()
    above: list[tuple[int, str]] = []
    is_code = False
    for line in _without_remarks(prose).splitlines():
        text = line.strip()
        level = len(text) - len(text.lstrip("#"))
        if text.startswith(("```", "~~~")):
            is_code = not is_code
        elif 0 < level <= 6 and text[level : level + 1].isspace() and not is_code:
            above = [each for each in above if each[0] < level]
            above.append((level, text[level:].strip(" #")))
        elif _TO_FILL_IN not in text and any(map(str.isalnum, text)):
            told.update(title for _, title in above)
    return told


def _without_remarks(prose: str) -> str:
    """By parts: a pattern would look for the end of each anew, which in a hostile card takes hours."""
    before, *remarks = prose.split("<!--")
    return "".join([before, *(remark.partition("-->")[2] for remark in remarks)])


def _about(title: str) -> set[str]:
    found = {name for name, words in _SECTIONS.items() if words.search(title)}
    # "Out-of-Scope Use" and "Limits of use" say for what it is not to be used.
    return found - {"use"} if "limits" in found else found


def card_schema() -> dict[str, Any]:
    """The JSON Schema of the metadata, for editors: it holds of what `parse_card` accepts, and of nothing else."""
    schema: dict[str, Any] = json.loads(
        (resources.files("placet.projects") / "data" / "card.schema.json").read_bytes()
    )
    return schema
