"""What is an image made of? Its bill of materials (CycloneDX JSON), as rules see it: every package and its licence.

A licence that SPDX knows is also told as the `choices` that it leaves: whoever takes the package has to keep every
licence of one of them. `MIT OR (GPL-3.0-only AND Zlib)` leaves `[MIT]` and `[GPL-3.0-only, Zlib]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from license_expression import ExpressionError, Licensing, get_spdx_licensing

MAX_BOM_BYTES = 16 * 1024**2
MAX_PACKAGES = 10_000
MAX_CHOICES = 64
"""Of one package. A licence that leaves more is told in its own words, as one that nobody could follow."""
MAX_EXPRESSION = 2000

Facts = dict[str, Any]


def contained(bills: Mapping[str, bytes]) -> Facts:
    """The facts `contents`, from all bills of materials that lie beside an image, by their digests.

    One is what there should be. Of several, each package of each counts: to add one must not hide anything.
    `problem` is why what they say is not all that is in it.
    """
    said: Facts = {"bills": sorted(bills), "problem": "", "packages": []}
    packages: dict[tuple[str, str, str, str], Facts] = {}
    for digest, bill in sorted(bills.items()):
        try:
            read = _read(bill)
        except (msgspec.DecodeError, RecursionError):
            said["problem"] = f"{digest} is no bill of materials that can be read"
            continue
        if read.metadata.component.is_unread:
            said["problem"] = "its packages could not be read"
        for each in read.components:
            if each.type == "library":
                told = _of_component(each)
                packages[each.name, each.version, told["kind"], told["licence"]] = told
    if len(packages) > MAX_PACKAGES:
        return {**said, "problem": f"it has more than {MAX_PACKAGES} packages"}
    return {**said, "packages": [packages[key] for key in sorted(packages)]}


class _License(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Choice(msgspec.Struct):
    expression: str = ""
    license: _License = msgspec.field(default_factory=_License)


class _Component(msgspec.Struct):
    type: str
    name: str
    version: str = ""
    purl: str = ""
    licenses: tuple[_Choice, ...] = ()


class _Property(msgspec.Struct):
    name: str = ""
    value: str = ""


class _Image(msgspec.Struct):
    properties: tuple[_Property, ...] = ()

    @property
    def is_unread(self) -> bool:
        """Whether the builder could not look into it: what a Dockerfile makes may be anything."""
        return _Property(name="placet:packages", value="not read") in self.properties


class _Metadata(msgspec.Struct):
    component: _Image = msgspec.field(default_factory=_Image)


class _Bill(msgspec.Struct, rename={"format": "bomFormat"}):
    format: str
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    components: tuple[_Component, ...] = ()


def _read(bill: bytes) -> _Bill:
    read = msgspec.json.decode(bill, type=_Bill)
    if read.format != "CycloneDX":
        raise msgspec.DecodeError("another format")
    return read


def _of_component(component: _Component) -> Facts:
    stated = [each.expression or each.license.id or each.license.name for each in component.licenses]
    licence = stated[0] if len(stated) == 1 else " AND ".join(f"({each})" for each in stated if each)
    is_spdx = all(each.expression or each.license.id for each in component.licenses)
    kind = component.purl.removeprefix("pkg:").partition("/")[0] if component.purl else ""
    return package(component.name, component.version, kind=kind, licence=licence, is_spdx=is_spdx)


def package(name: str, version: str, *, kind: str, licence: str, is_spdx: bool) -> Facts:
    """One of the facts' `packages`. `kind` is as in its package URL: `pypi`, `deb`."""
    choices = choices_of(licence) if is_spdx else None
    return {
        "name": name,
        "version": version,
        "kind": kind,
        "licence": licence,
        "isSpdx": choices is not None,
        "choices": choices or [],
    }


@cache
def _spdx() -> Licensing:
    return get_spdx_licensing()


def choices_of(expression: str) -> list[list[str]] | None:
    """The choices that an SPDX expression leaves, or None where it cannot be followed."""
    if not 0 < len(expression.strip()) <= MAX_EXPRESSION:
        return None
    try:
        choices = _choices(_spdx().parse(expression, validate=False))
    except (ExpressionError, RecursionError, _TooMany):
        return None
    return sorted(sorted(each) for each in choices)


class _TooMany(Exception):
    pass


def _choices(parsed: Any) -> set[frozenset[str]]:
    if parsed.isliteral:
        return {frozenset({parsed.render()})}
    left, *others = (_choices(each) for each in parsed.args)
    for right in others:
        # One by one: what is the same is met at once, where all at once would be as many as the powers of two.
        either = parsed.operator.strip() == "OR"
        left = left | right if either else {mine | theirs for mine in left for theirs in right}
        if len(left) > MAX_CHOICES:
            raise _TooMany
    return left
