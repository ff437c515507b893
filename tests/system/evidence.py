"""Evidence of a project as somebody outside has it, and what somebody could do to it on the way."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from placet.trust.notes import NoteKey

from tests.support.platforms import Platform
from tests.system.scenarios import placet

Files = dict[str, bytes]
NEVER_CHECKED = ("whether anybody outside saw this log", "whether more happened up to")
"""It takes somebody else, or the whole log."""


@dataclass(frozen=True)
class Evidence:
    bundle: Path
    verifier: Path
    key: str

    @property
    def at(self) -> str:
        with zipfile.ZipFile(self.bundle) as opened:
            return str(json.loads(opened.read("manifest.json"))["at"])

    @property
    def size(self) -> str:
        return self.bundle.stem.rpartition("-")[2]

    def read(self) -> bytes:
        return self.bundle.read_bytes()

    def key_of(self, name: str) -> str:
        """The log's key, as that of another log."""
        return NoteKey(name=name, kind=1, key=NoteKey.from_vkey(self.key).key).vkey

    def verified(self, *, key: str | None = None) -> dict[str, Any]:
        """What the one file says, alone with a Python."""
        asked = [str(self.bundle), "--log-key", key or self.key, "--json"]
        done = subprocess.run([sys.executable, "-I", "-S", str(self.verifier), *asked], capture_output=True)
        told: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if told["verified"] else 1)
        return told

    @staticmethod
    def unchecked(told: dict[str, Any]) -> list[str]:
        """What it would take more for than an archive and a key."""
        words = [each["words"] for each in told["findings"] if each["outcome"] == "unchecked"]
        return [each for each in words if not each.startswith(NEVER_CHECKED)]

    def changed(self, change: Callable[[Files], None]) -> Evidence:
        """With a list of files that is right again: whoever changes one file changes the other, too."""
        with zipfile.ZipFile(self.bundle) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        manifest = json.loads(files.pop("manifest.json"))
        change(files)
        manifest["files"] = [
            {"path": name, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
            for name, data in sorted(files.items())
        ]
        into = self.bundle.with_name("changed.zip")
        with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
            for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
                archive.writestr(name, data)
        return replace(self, bundle=into)


async def exported(platform: Platform, project: str, folder: Path, *typed: str) -> Evidence:
    made = await placet(platform, "audit", "export", project, "--people", "--out", str(folder), *typed)
    return Evidence(bundle=Path(made["bundle"]), verifier=Path(made["verifier"]), key=made["logKeys"][-1])


async def evidence_holds(platform: Platform, project: str, folder: Path) -> list[str]:
    """All that can be said of the project by now holds for who has nothing but a Python. Returns what was checked."""
    made = await exported(platform, project, folder)
    told = made.verified()
    assert told["verified"], [each for each in told["findings"] if each["outcome"] == "wrong"]
    assert made.unchecked(told) == []
    return [each["words"] for each in told["findings"] if each["outcome"] == "holds"]


class Tampered(NamedTuple):
    change: Callable[[Files], None]
    said: str
    """Part of what names it."""


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


def _a_word_of_the_dossier(files: Files) -> None:
    files["dossier.html"] = files["dossier.html"].replace(b">missing</span>", b">attested</span>", 1)


def _the_tail_of_the_log(files: Files) -> None:
    origin, size, *rest = files["checkpoint.txt"].decode().split("\n")
    files["checkpoint.txt"] = "\n".join([origin, str(int(size) - 1), *rest]).encode()


TAMPERED = {
    "a byte of an event": Tampered(_a_byte_of_an_event, "was changed: the log has sha256:"),
    "two events swapped": Tampered(_two_events_swapped, "was changed: the log has sha256:"),
    "an event inserted": Tampered(_an_event_inserted, "was changed: the log has sha256:"),
    "an event without its proof": Tampered(
        _an_event_without_its_proof, ".tlog-proof is not in the bundle: it was taken out"
    ),
    "a verdict that was signed": Tampered(_a_verdict_in_the_certificate, "certificates/"),
    "another certificate": Tampered(_another_certificate, "certificates/"),
    "a rule of a policy": Tampered(_a_rule_of_a_policy, "policies/"),
    "a fact": Tampered(_a_fact, "facts/submit"),
    "a word of the dossier": Tampered(
        _a_word_of_the_dossier, "dossier.html was changed: nothing in the log says"
    ),
    "a checkpoint of another size": Tampered(_the_tail_of_the_log, "under the checkpoint does not hold"),
}
