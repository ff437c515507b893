"""The audit log of a whole platform, verified by somebody who believes nothing of it: scenarios for any platform."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from placet.trust import checkpoints
from placet.trust.leaves import Leaf
from placet.trust.notes import Note, NoteKey
from placet.trust.proofs import InclusionProof

from tests.support.platforms import Platform
from tests.system.models import write_project
from tests.system.scenarios import audit, deploy, placet, printed


class AuditedPlatform:
    async def test_the_log_is_verified_by_who_believes_nothing_of_it(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "p", project))
        await audit(platform, project, until="model.started")
        vkey = (await placet(platform, "audit", "verify", "--anew"))["signedBy"]
        kept = tmp_path / "kept.checkpoint"
        await placet(platform, "audit", "checkpoint", "--out", str(kept))
        await placet(platform, "stop", project)

        verified = await placet(
            platform, "audit", "verify", "--anew", "--log", vkey, "--checkpoint", str(kept)
        )
        checkpoint, _ = checkpoints.verify(Note.from_bytes(kept.read_bytes()), [NoteKey.from_vkey(vkey)])
        assert verified["verified"]
        assert verified["size"] >= checkpoint.size
        assert set(verified["producers"]) >= {"gateway", "certifier", "builder", "indexer", "deployer"}
        assert str(kept) in verified["agreed"]

    async def test_what_happened_is_proved_without_the_platform(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """A file, the event as it was told, and the log's key: that is all."""
        await deploy(platform, write_project(tmp_path / "p", project))
        entries = await audit(platform, project, until="model.started")
        await placet(platform, "audit", "verify", "--anew")  # the checkpoint of it is there
        [issued] = [each for each in entries if each["event"]["type"].endswith("certificate.issued.v1")]
        file = tmp_path / "issued.tlog-proof"
        await placet(platform, "audit", "proof", issued["event"]["id"], "--out", str(file))

        replayed = await printed(
            platform, "audit", "replay", "--from", str(issued["position"]), "--until", str(issued["position"])
        )
        event = json.loads(replayed)
        leaf = Leaf.of(
            msgspec.json.encode(issued["event"], order="sorted"),
            position=event["sequence"],
            producer=event["source"],
            epoch=event["producerepoch"],
            producer_position=event["producerposition"],
        )
        vkey = (await placet(platform, "audit", "verify", "--anew"))["signedBy"]
        proof = InclusionProof.from_bytes(file.read_bytes())
        assert proof.verify(leaf.to_bytes(), [NoteKey.from_vkey(vkey)]).size >= event["sequence"]

    async def test_evidence_is_checked_and_rules_are_run_again_with_nothing_but_python(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "p", project))
        await audit(platform, project, until="model.started")
        await placet(platform, "audit", "verify", "--anew")  # the checkpoint of it is there
        made = await placet(
            platform, "audit", "export", project, "--people", "--out", str(tmp_path / "evidence")
        )
        bundle, verifier, key = Path(made["bundle"]), Path(made["verifier"]), made["logKeys"][-1]

        told = verified(verifier, bundle, key)
        assert told["verified"], told
        words = [each["words"] for each in told["findings"] if each["outcome"] == "holds"]
        assert sum("rules of stage submit run again" in each for each in words) == 2
        assert sum("rules of stage certify run again" in each for each in words) == 1
        assert [each["words"] for each in told["findings"] if each["outcome"] == "unchecked"] == [
            "whether anybody outside saw this log: give the keys of witnesses, --witness"
        ]
        assert any("allowed it" in each for each in told["standing"])
        assert any("release 1 was served" in each for each in told["standing"])

        size = str(int(bundle.stem.rpartition("-")[2]))
        at = json.loads(zipfile.ZipFile(bundle).read("manifest.json"))["at"]
        again = await placet(
            platform,
            "audit",
            "export",
            project,
            "--people",
            "--at",
            at,
            "--size",
            size,
            "--out",
            str(tmp_path / "2"),
        )
        assert same(Path(again["bundle"]), bundle)

        for name, change in TAMPERED.items():
            told = verified(verifier, changed(bundle, tmp_path / "changed.zip", change), key)
            wrong = [each["words"] for each in told["findings"] if each["outcome"] == "wrong"]
            assert not told["verified"], name
            assert any(SAID[name] in each for each in wrong), (name, wrong)
        assert not verified(
            verifier, bundle, NoteKey(name="elsewhere", kind=1, key=NoteKey.from_vkey(key).key).vkey
        )["verified"]


Files = dict[str, bytes]


def same(one: Path, two: Path) -> bool:
    return one.read_bytes() == two.read_bytes()


def verified(verifier: Path, bundle: Path, key: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(verifier), str(bundle), "--log-key", key, "--json"],
        capture_output=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if told["verified"] else 1)
    return told


def changed(bundle: Path, into: Path, change: Callable[[Files], None]) -> Path:
    """Another bundle, whose list of files is right again: whoever changes one file changes the other, too."""
    with zipfile.ZipFile(bundle) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files)
    manifest["files"] = [
        {"path": name, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
        for name, data in sorted(files.items())
    ]
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
    return into


def _one(files: Files, part: str, suffix: str) -> str:
    return next(name for name in sorted(files) if part in name and name.endswith(suffix))


def _event(files: Files, kind: str) -> str:
    named = f'"type":"placet.{kind}.v1"'.encode()
    return next(name for name, data in sorted(files.items()) if name.startswith("events/") and named in data)


def _a_byte_of_an_event(files: Files) -> None:
    name = _event(files, "certifier.release.cleared")
    files[name] = files[name].replace(b'"result":"pass"', b'"result":"fail"', 1)


def _two_events_swapped(files: Files) -> None:
    one, two = _event(files, "certifier.release.cleared"), _event(files, "builder.image.built")
    files[one], files[two] = files[two], files[one]


def _an_event_inserted(files: Files) -> None:
    name = _event(files, "certifier.release.cleared")
    files["events/000000009999.json"] = files[name].replace(b'"release":1', b'"release":2')
    files["events/000000009999.tlog-proof"] = files[name.replace(".json", ".tlog-proof")]


def _an_event_without_its_proof(files: Files) -> None:
    del files[_event(files, "certifier.release.cleared").replace(".json", ".tlog-proof")]


def _a_verdict_in_the_certificate(files: Files) -> None:
    name = _one(files, "certificates/", ".dsse.json")
    envelope = json.loads(files[name])
    payload = base64.b64decode(envelope["payload"]).replace(b'"result":"pass"', b'"result":"fail"', 1)
    files[name] = json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}).encode()


def _another_certificate(files: Files) -> None:
    """Of somebody's own, with an artifact around it that names it."""
    name = _one(files, "certificates/", ".dsse.json")
    envelope = json.loads(files[name])
    envelope["signatures"] = [{**envelope["signatures"][0], "keyid": "mine"}]
    files[name] = json.dumps(envelope).encode()
    manifest = json.loads(files[f"{name}.manifest"])
    manifest["layers"][0]["digest"] = f"sha256:{hashlib.sha256(files[name]).hexdigest()}"
    files[f"{name}.manifest"] = json.dumps(manifest).encode()


def _a_rule_of_a_policy(files: Files) -> None:
    name = _one(files, "policies/", ".yaml")
    files[name] = files[name].replace(b"onFail: deny", b"onFail: warn", 1)


def _a_fact(files: Files) -> None:
    name = _one(files, "facts/submit", ".json")
    files[name] = files[name].replace(b"true", b"false", 1)


def _the_tail_of_the_log(files: Files) -> None:
    origin, size, *rest = files["checkpoint.txt"].decode().split("\n")
    files["checkpoint.txt"] = "\n".join([origin, str(int(size) - 1), *rest]).encode()


TAMPERED: dict[str, Callable[[Files], None]] = {
    "a byte": _a_byte_of_an_event,
    "swapped": _two_events_swapped,
    "inserted": _an_event_inserted,
    "no proof": _an_event_without_its_proof,
    "verdict": _a_verdict_in_the_certificate,
    "certificate": _another_certificate,
    "policy": _a_rule_of_a_policy,
    "fact": _a_fact,
    "tail": _the_tail_of_the_log,
}
SAID = {
    "a byte": "was changed: the log has sha256:",
    "swapped": "was changed: the log has sha256:",
    "inserted": "was changed: the log has sha256:",
    "no proof": "is not formed as bundles are",
    "verdict": "certificates/",
    "certificate": "certificates/",
    "policy": "policies/",
    "fact": "facts/submit",
    "tail": "under the checkpoint does not hold",
}
