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
from placet.cli.sizes import in_utc
from placet.client import Certificate, Client, Standing
from placet.errors import Refused, Unreadable
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
        is_served = await _is_served(platform, revoked)
    if is_served:
        screen.result(f"{revoked.certificate} is revoked: {revoked.project} leaves its route")
        screen.note(
            f"release {revoked.release} cannot be started any more; deploy again, to have it judged anew"
        )
    else:
        screen.result(f"{revoked.certificate} is revoked: no model serves on it")
    screen.document(revoked.to_json())
    return exits.DONE


async def verify(arguments: Namespace, screen: Screen) -> int:
    """Asks nobody: the certificate and the public keys are files."""
    history = _keys(arguments.keys)
    signed, beside = _certificate(arguments.file)
    verified = dsse.verify(signed, history, payload_type=statements.PAYLOAD_TYPE)
    said = statements.parse(verified.payload)
    _must_agree(beside, said, json.loads(verified.payload))
    for name, wanted, has in (
        ("image", arguments.image, said.image),
        ("source", arguments.source, said.source),
    ):
        if wanted is not None and wanted != has:
            raise Refused(
                f"{said.certificate} is for the {name} {has}, not for {wanted}",
                fix=f"look for the certificate of that {name}: `placet list --images` names them",
            )
    now = datetime.now(UTC)  # noqa: TID251 (the command is where a person's clock comes in)
    at = arguments.at or now
    # What is known of a key today holds for yesterday's certificates: who has it can date them back.
    signers = certificates.signers(signed, history, now=max(at, now))
    if at < said.not_before or at >= said.not_after:
        raise Refused(
            f"{said.certificate} is valid from {in_utc(said.not_before)} until {in_utc(said.not_after)},"
            f" and not at {in_utc(at)}",
            fix="give --at a moment in that time, or have what serves renewed: `placet certificate renew PROJECT`",
        )
    screen.result(
        f"{said.certificate} is signed by {', '.join(signers)}:"
        f" release {said.release} of {said.project}, image {said.image}, until {in_utc(said.not_after)}"
    )
    if said.renews is not None:
        screen.note(f"it renews {said.renews}")
    screen.note(
        "whether it was suspended or revoked since is in the log, not in a file: `placet certificate show`"
    )
    screen.document(statements.build(said))
    return exits.DONE


async def _is_served(platform: Client, revoked: Standing) -> bool:
    """A certificate that was renewed, or whose release was replaced, takes nothing off its route."""
    models = await platform.models(deleted=False)
    return any(
        each.certificate == revoked.certificate and each.state not in ("stopped", "failed") for each in models
    )


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
    conditions = "; ".join(
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


def _keys(file: Path) -> KeyHistory:
    data = _read(file, MAX_KEYS_BYTES)
    try:
        return KeyHistory.from_json(data)
    except Unreadable as error:
        raise Refused(
            f"{file}: {error.detail}",
            fix="give the certifier's certificates.json, or what `placet key list --json` printed",
        ) from error


def _certificate(file: Path) -> tuple[dsse.Envelope, dict[str, Any]]:
    """A DSSE envelope as it lies in the registry, and what `placet certificate show --json` printed around it."""
    data = _read(file, dsse.MAX_ENVELOPE_BYTES * 4)
    try:
        document = json.loads(data)
        inside = document.get("envelope") if isinstance(document, dict) else None
        if inside is None:
            return dsse.read(data), {}
        return dsse.read(json.dumps(inside).encode()), document
    except (ValueError, RecursionError, Unreadable) as error:
        said = error.detail if isinstance(error, Unreadable) else f"this is no JSON: {error}"
        raise Refused(
            f"{file}: {said}",
            fix="have it printed again, whole: `placet certificate show CERTIFICATE --json`",
        ) from error


def _must_agree(beside: dict[str, Any], said: statements.Certificate, statement: Any) -> None:
    """Nobody signed what people read beside the envelope, and people do read that."""
    signed = {
        "certificate": said.certificate,
        "project": said.project,
        "release": said.release,
        "image": said.image,
        "renews": said.renews,
        "notAfter": in_utc(said.not_after),
        "statement": statement,
    }
    for name, value in signed.items():
        if name in beside and beside[name] != value:
            shown = "" if name == "statement" else f": {beside[name]!r}, and signed is {value!r}"
            raise Refused(
                f"the {name} beside the envelope is not what was signed{shown}",
                fix="take what `placet certificate verify … --json` says of the envelope alone",
            )
