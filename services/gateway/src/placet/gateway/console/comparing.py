"""What differs between two releases of a model: source, what it is made of, what was measured, what the rules said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from placet.client import Certificate, Release

_CERTIFY = "certify"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two. `packages` are versions by name, or None where whoever asks may not see them; `verdicts` results
    by rule."""

    release: Release
    labels: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """None where one of the two has no such thing."""

    of: str
    before: str | float | None
    after: str | float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`packages` is None where they could not be compared."""

    digests: tuple[Difference, ...]
    metrics: tuple[Difference, ...]
    verdicts: tuple[Difference, ...]
    packages: tuple[Difference, ...] | None

    @property
    def is_same(self) -> bool:
        return not (self.digests or self.metrics or self.verdicts or self.packages)


def compare(before: Side, after: Side) -> Comparison:
    both = before.packages is not None and after.packages is not None
    return Comparison(
        digests=_between(_digests(before), _digests(after)),
        metrics=_between(_metrics(before.release), _metrics(after.release)),
        verdicts=_between(before.verdicts, after.verdicts),
        packages=_between(before.packages or {}, after.packages or {}) if both else None,
    )


def verdicts_of(certificate: Certificate | None) -> dict[str, str]:
    """The result of each rule; of one that was judged at several stages the first that is no pass. What failed and was
    certified all the same only warns, unless an exception or broken glass let it pass."""
    said, found = _said(certificate), dict[str, str]()
    excepted = {each["rule"] for each in said.get("exceptions", ())}
    for each in said.get("verdicts", ()):
        rule, result = each["rule"], each["result"]
        warns = result == "fail" and not (rule in excepted or said.get("breakGlass"))
        if found.get(rule, "pass") == "pass":
            found[rule] = "warn" if warns else result
    return found


def facts_of(certificate: Certificate | None) -> str | None:
    """The digest of what the rules saw of the built image."""
    found = [each["facts"] for each in _said(certificate).get("facts", ()) if each["stage"] == _CERTIFY]
    return found[-1] if found else None


def packages_in(facts: Mapping[str, Any] | None) -> dict[str, str] | None:
    if facts is None:
        return None
    return {each["name"]: each["version"] for each in facts.get("contents", {}).get("packages", ())}


def _said(certificate: Certificate | None) -> dict[str, Any]:
    said: dict[str, Any] = {} if certificate is None else certificate.statement.get("predicate", {})
    return said


def _digests(side: Side) -> dict[str, str | None]:
    labels, release = side.labels, side.release
    return {
        "source": release.source,
        "image": release.image,
        "format": release.format,
        "locked packages": labels.get("io.placet.lock"),
        "Python": labels.get("io.placet.python"),
        "base": labels.get("io.placet.base"),
    }


def _metrics(release: Release) -> dict[str, float]:
    return {each.metric: each.value for each in release.metrics}


def _between(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        Difference(of=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )
