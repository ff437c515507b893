"""Verbs for certificates: what one says, whether it stands, and its end before its time."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from placet.cli import exits
from placet.cli.screen import Screen
from placet.cli.session import connect
from placet.client import Certificate
from placet.errors import Refused
from placet.trust import KeyHistory, certificates, dsse, statements

MAX_KEYS_BYTES = 1024**2


async def show(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        found = await platform.certificate(arguments.certificate)
    screen.table(("", ""), [(name, value) for name, value in _rows(found) if value])
    for ground in (*found.grounds, *found.warnings):
        screen.note(f"{ground.rule}: {ground.why}" + (f"\n  {ground.fix}" if ground.fix else ""))
    screen.document(found.to_json())
    return exits.DONE


async def revoke(arguments: Namespace, screen: Screen) -> int:
    async with connect() as platform:
        revoked = await platform.revoke_certificate(arguments.certificate, reason=arguments.reason)
    screen.result(f"{revoked.certificate} is revoked: {revoked.project} leaves its route")
    screen.note(f"release {revoked.release} cannot be started any more; deploy again, to have it judged anew")
    screen.document(revoked.to_json())
    return exits.DONE


async def verify(arguments: Namespace, screen: Screen) -> int:
    """Asks nobody: the certificate and the public keys are files."""
    history = KeyHistory.from_json(_read(arguments.keys, MAX_KEYS_BYTES))
    envelope, beside = _parted(_read(arguments.file, dsse.MAX_ENVELOPE_BYTES * 4))
    signed = dsse.read(envelope)
    verified = dsse.verify(signed, history, payload_type=statements.PAYLOAD_TYPE)
    said = statements.parse(verified.payload)
    _must_agree(beside, said, json.loads(verified.payload))
    for name, wanted, has in (
        ("image", arguments.image, said.image),
        ("source", arguments.source, said.source),
    ):
        if wanted is not None and wanted != has:
            raise Refused(f"{said.certificate} is for the {name} {has}, not for {wanted}")
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    at = arguments.at or now
    # What is known of a key today holds for yesterday's certificates: who has it can date them back.
    signers = certificates.signers(signed, history, now=max(at, now))
    if at < said.not_before or at >= said.not_after:
        raise Refused(
            f"{said.certificate} is valid from {said.not_before.isoformat()} until {said.not_after.isoformat()},"
            f" and not at {at.isoformat()}"
        )
    screen.result(
        f"{said.certificate} is signed by {', '.join(signers)}:"
        f" release {said.release} of {said.project}, image {said.image}, until {said.not_after.isoformat()}"
    )
    if said.renews is not None:
        screen.note(f"it renews {said.renews}")
    screen.note(
        "whether it was suspended or revoked since is in the log, not in a file: `placet certificate show`"
    )
    screen.document(statements.build(said))
    return exits.DONE


def _rows(found: Certificate) -> list[tuple[str, object]]:
    predicate: dict[str, Any] = found.statement.get("predicate", {})
    policies = ", ".join(f"{each.get('id')} {each.get('version')}" for each in predicate.get("policies", ()))
    exceptions = ", ".join(
        f"{each.get('rule')} until {each.get('until')}" for each in predicate.get("exceptions", ())
    )
    approvals = "; ".join(
        f"{each.get('givenBy')} as {' and '.join(each.get('roles', ()))}"
        + (", to break the glass" if each.get("breakGlass") else "")
        for each in predicate.get("approvals", ())
    )
    conditions = ", ".join(
        f"{each.get('metric')} at most {each.get('max')}, or {each.get('action')}"
        for each in predicate.get("conditions", ())
    )
    return [
        ("certificate", found.certificate),
        ("state", found.state),
        ("project", f"{found.project}, release {found.release}"),
        ("image", found.image),
        ("until", f"{found.not_after}, as a trial" if found.trial else found.not_after),
        ("renews", found.renews),
        ("renewed by", found.renewed_by),
        ("revoked", _revoked(found)),
        ("reason", found.reason),
        ("policies", policies),
        ("exceptions", exceptions),
        ("approvals", approvals),
        ("review", _reviewed(found)),
        ("conditions", conditions),
    ]


def _reviewed(found: Certificate) -> str | None:
    """Of one for which the glass was broken: owed until somebody else has looked."""
    review = found.review
    if review is None:
        return None
    if review.given_by is None:
        return f"owed since {review.owed_at}: the glass was broken for it"
    by = review.given_by.name or review.given_by.person
    return f"{review.given_at} by {by}" + (f": {review.reason}" if review.reason else "")


def _revoked(found: Certificate) -> str | None:
    by = found.revoked_by
    return None if by is None else f"{found.revoked_at} by {by.name or by.person}"


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Refused(f"{path} is larger than the {limit} bytes that are looked at")
    return data


def _parted(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """A DSSE envelope as it lies in the registry, and what `placet certificate show --json` printed around it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data, {}
    inside = document.get("envelope") if isinstance(document, dict) else None
    return (data, {}) if inside is None else (json.dumps(inside).encode(), document)


def _must_agree(beside: dict[str, Any], said: statements.Certificate, statement: Any) -> None:
    """Nobody signed what people read beside the envelope, and people do read that."""
    signed = {
        "certificate": said.certificate,
        "project": said.project,
        "release": said.release,
        "image": said.image,
        "notAfter": said.not_after.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "statement": statement,
    }
    for name, value in signed.items():
        if name in beside and beside[name] != value:
            shown = "" if name == "statement" else f": {beside[name]!r}, and signed is {value!r}"
            raise Refused(
                f"the {name} beside the envelope is not what was signed{shown}",
                fix="take what `placet certificate verify … --json` says of the envelope alone",
            )
