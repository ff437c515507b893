"""Certificates, as who looks at one, ends one, and checks one without a platform sees them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from placet.trust import (
    Certificate,
    KeyHistory,
    KeySet,
    PolicyApplied,
    SigningKey,
    VerdictGiven,
    certificates,
    dsse,
    statements,
)

from tests.unit.cli.conftest import Placet
from tests.unit.client.fake_platform import SCIENTIST, FakePlatform

ID = "certificate:01a218c0-dd9a-75e1-97b1-a45b27cab79e"
IMAGE, SOURCE, OTHER = (f"sha256:{digit * 64}" for digit in "123")
KEY = SigningKey.generate()
SAID = Certificate(
    certificate=ID,
    project="wine",
    release=1,
    repository="models/wine",
    image=IMAGE,
    source=SOURCE,
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2026, 4, 1, tzinfo=UTC),
    policies=(PolicyApplied(id="basics", version=1, digest=f"sha256:{'c' * 64}"),),
    verdicts=(VerdictGiven(rule="owner-named", policy="basics", stage="submit", result="pass"),),
)
ENVELOPE: dict[str, Any] = msgspec.to_builtins(certificates.issue(SAID, KEY))
VALID = ("--at", "2026-02-01T00:00:00Z")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_text(KeySet([KEY.public]).to_json())
    return file


def written(tmp_path: Path, document: Any) -> str:
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_a_certificate_is_shown_with_whether_it_stands(placet: Placet, platform: FakePlatform) -> None:
    shown = placet("certificate", "show", ID)
    assert shown.status == 0
    assert "valid" in shown.out
    assert "wine, release 1" in shown.out
    assert "as a trial" in shown.out
    platform.revoked.append("it harms")
    shown = placet("certificate", "show", ID)
    assert "revoked" in shown.out
    assert "certificate.revoked: it was revoked" in shown.err
    assert "2026-02-01T00:00:00.000Z by bob" in shown.out
    assert "it harms" in shown.out
    assert placet("certificate", "show", ID, "--json").document["grounds"][0]["rule"] == "certificate.revoked"


def test_who_revokes_one_gives_a_reason_and_is_told_what_comes_of_it(
    placet: Placet, platform: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = placet("certificate", "revoke", ID, "--reason", "it harms")
    assert ended.status == 0
    assert platform.revoked == ["it harms"]
    assert f"{ID} is revoked: no model serves on it" in ended.out
    assert "deploy again" not in ended.err
    assert placet("certificate", "revoke", ID, "--reason", " ").status == 2
    assert placet("certificate", "revoke", ID).status == 2
    monkeypatch.setenv("PLACET_TOKEN", SCIENTIST)
    refused = placet("certificate", "revoke", ID, "--reason", "no")
    assert refused.status == 1
    assert "needs one of the roles" in refused.err


def test_what_serves_on_a_revoked_one_leaves_its_route_and_nothing_else_does(
    placet: Placet, platform: FakePlatform
) -> None:
    wine = {"project": "wine", "release": 4, "state": "live"}
    for certificate, said in ((ID, "wine leaves its route"), ("certificate:its-renewal", "no model serves")):
        platform.models["wine"] = {**wine, "certificate": certificate}
        assert said in placet("certificate", "revoke", ID, "--reason", "it harms").out


def test_a_file_is_checked_with_the_public_keys_alone(placet: Placet, tmp_path: Path, keys: Path) -> None:
    for document in (ENVELOPE, {"certificate": ID, "envelope": ENVELOPE}):
        checked = placet(
            *("certificate", "verify", written(tmp_path, document), "--keys", str(keys), *VALID),
            *("--image", IMAGE, "--source", SOURCE),
        )
        assert (checked.status, KEY.kid in checked.out) == (0, True), checked.err
    told = placet("certificate", "verify", written(tmp_path, ENVELOPE), "--keys", str(keys), *VALID, "--json")
    assert told.document["predicate"]["certificate"] == ID


@pytest.mark.parametrize(
    ("envelope", "more", "said"),
    [
        (ENVELOPE, ("--at", "2026-04-01T00:00:00Z"), "is valid from"),
        (ENVELOPE, ("--at", "2025-12-31T23:59:59Z"), "is valid from"),
        (ENVELOPE, (*VALID, "--image", OTHER), f"is for the image {IMAGE}, not for {OTHER}"),
        (ENVELOPE, (*VALID, "--source", OTHER), f"is for the source {SOURCE}, not for {OTHER}"),
        ({**ENVELOPE, "payload": ENVELOPE["payload"][:-8] + "AAAAfQ=="}, VALID, "was changed"),
        (msgspec.to_builtins(certificates.issue(SAID, SigningKey.generate())), VALID, "by no key we know"),
        ({"payload": 1}, VALID, "not a DSSE envelope"),
    ],
    ids=["over", "early", "image", "source", "edited", "stranger", "none"],
)
def test_what_does_not_hold_is_told(
    placet: Placet, tmp_path: Path, keys: Path, envelope: Any, more: tuple[str, ...], said: str
) -> None:
    checked = placet("certificate", "verify", written(tmp_path, envelope), "--keys", str(keys), *more)
    assert checked.status == 1
    assert said in checked.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("certificate", "certificate:other"),
        ("project", "other"),
        ("release", 2),
        ("image", OTHER),
        ("notAfter", "2036-04-01T00:00:00.000Z"),
        ("renews", "certificate:other"),
        ("statement", {**statements.build(SAID), "subject": []}),
    ],
)
def test_what_was_edited_beside_the_envelope_is_refused(
    placet: Placet, tmp_path: Path, keys: Path, name: str, value: Any
) -> None:
    document = {
        "certificate": ID,
        "project": "wine",
        "release": 1,
        "image": IMAGE,
        "state": "valid",
        "renews": None,
        "notAfter": "2026-04-01T00:00:00.000Z",
        "envelope": ENVELOPE,
        "statement": statements.build(SAID),
    }
    whole = placet("certificate", "verify", written(tmp_path, document), "--keys", str(keys), *VALID)
    assert whole.status == 0, whole.err
    edited = written(tmp_path, {**document, name: value})
    checked = placet("certificate", "verify", edited, "--keys", str(keys), *VALID)
    assert checked.status == 1
    assert f"the {name} beside the envelope is not what was signed" in checked.err


def test_a_key_that_was_rotated_out_vouches_for_what_it_signed_and_for_nothing_later(
    placet: Placet, tmp_path: Path, keys: Path
) -> None:
    plain = KeyHistory.from_json(keys.read_bytes())
    for until, status, words in (
        (SAID.not_before + timedelta(seconds=1), 0, f"is signed by {KEY.kid}"),
        (SAID.not_before, 1, f"the key {KEY.kid} was rotated out at"),
    ):
        keys.write_text(plain.rotated(SigningKey.generate().public, at=until, why="staff").to_json())
        checked = placet("certificate", "verify", written(tmp_path, ENVELOPE), "--keys", str(keys), *VALID)
        assert (checked.status, words in " ".join((checked.out + checked.err).split())) == (status, True)


def test_a_compromised_key_vouches_for_nothing_not_even_for_times_before_that_was_known(
    placet: Placet, tmp_path: Path, keys: Path
) -> None:
    plain = KeyHistory.from_json(keys.read_bytes())
    rotated = plain.rotated(SigningKey.generate().public, at=SAID.not_after, why="scheduled")
    keys.write_text(rotated.compromised(KEY.kid, at=SAID.not_after).to_json())
    checked = placet("certificate", "verify", written(tmp_path, ENVELOPE), "--keys", str(keys), *VALID)
    assert checked.status == 1
    assert "was compromised" in checked.err


def test_a_statement_from_before_it_had_all_of_todays_fields_is_what_was_signed(
    placet: Placet, tmp_path: Path, keys: Path
) -> None:
    statement = statements.build(SAID)
    for later in ("facts", "approvals", "breakGlass"):
        del statement["predicate"][later]
    payload = statements.canonical_bytes(statement)
    signed = msgspec.to_builtins(dsse.sign(payload, payload_type=statements.PAYLOAD_TYPE, keys=KEY))
    shown = written(tmp_path, {"envelope": signed, "statement": statement})
    checked = placet("certificate", "verify", shown, "--keys", str(keys), *VALID)
    assert checked.status == 0, checked.err


def test_files_that_are_not_there_are_named(placet: Placet, tmp_path: Path, keys: Path) -> None:
    missing = str(tmp_path / "none.json")
    for arguments in ((missing, str(keys)), (written(tmp_path, ENVELOPE), missing)):
        checked = placet("certificate", "verify", arguments[0], "--keys", arguments[1], *VALID)
        assert checked.status == 1
        assert "none.json cannot be read" in checked.err


def test_files_that_hold_something_else_are_named_and_what_belongs_there_is_told(
    placet: Placet, tmp_path: Path, keys: Path
) -> None:
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps({"certificate": ID, "envelope": ENVELOPE})[:200])
    checked = placet("certificate", "verify", str(cut), "--keys", str(keys), *VALID)
    assert checked.status == 1
    assert "cut.json: this is no JSON" in checked.err
    assert "placet certificate show" in checked.err
    checked = placet("certificate", "verify", written(tmp_path, ENVELOPE), "--keys", str(cut), *VALID)
    assert checked.status == 1
    assert "cut.json: this is no history of public keys" in checked.err
    assert "placet key list --json" in checked.err
