"""The audit log of a whole platform, verified by somebody who believes nothing of it: scenarios for any platform."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import msgspec
from placet.trust import checkpoints
from placet.trust.leaves import Leaf
from placet.trust.notes import Note, NoteKey
from placet.trust.proofs import InclusionProof

from tests.support.eventually import eventually
from tests.support.platforms import Platform
from tests.system.evidence import TAMPERED, exported
from tests.system.models import write_project
from tests.system.scenarios import audit, deploy, placet, printed
from tools import workspace

HOW_TO = workspace.ROOT / "docs" / "how-to" / "answer-why-a-model-ran.md"


def commands_of(page: Path) -> list[str]:
    """What it has the reader type."""
    return re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


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

        async def compared() -> bool:
            said = await placet(platform, "audit", "verify", "--anew")
            return set(said["sameAsTheirStores"]) >= {
                "gateway",
                "certifier",
                "builder",
                "indexer",
                "deployer",
            }

        await eventually(compared)

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
        made = await exported(platform, project, tmp_path / "evidence")
        told = made.verified()
        words = [each["words"] for each in told["findings"] if each["outcome"] == "holds"]
        assert sum("rules of stage submit run again" in each for each in words) == 2
        assert sum("rules of stage certify run again" in each for each in words) == 1
        assert made.unchecked(told) == []
        assert any("allowed it" in each for each in told["standing"])
        assert any("release 1 was served" in each for each in told["standing"])

        again = await exported(platform, project, tmp_path / "again", "--at", made.at, "--size", made.size)
        assert again.read() == made.read()
        for name, tampered in TAMPERED.items():
            told = made.changed(tampered.change).verified()
            wrong = [each["words"] for each in told["findings"] if each["outcome"] == "wrong"]
            assert not told["verified"], name
            assert any(tampered.said in each for each in wrong), (name, wrong)
        assert not made.verified(key=made.key_of("elsewhere"))["verified"]

    async def test_evidence_of_an_image_that_another_project_built_says_what_it_is_made_of(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        image, taker = str(live.image), f"{project[:30]}-taken"
        taken = await placet(platform, "deploy", image, "--project", taker)
        assert (taken["state"], taken["built"], taken["image"]) == ("live", False, image)
        await audit(platform, taker, until="model.started")
        await placet(platform, "audit", "verify", "--anew")  # the checkpoint of it is there
        told = (await exported(platform, taker, tmp_path / "evidence")).verified()
        assert told["verified"], [each for each in told["findings"] if each["outcome"] == "wrong"]
        words = [each["words"] for each in told["findings"] if each["outcome"] == "holds"]
        for what in ("bill of materials", "provenance"):
            assert any(f"the {what} of the image {image[:19]}" in each for each in words), words

    async def test_why_a_model_was_allowed_to_run_is_answered_for_any_moment(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """Before it was certified, while it served, and after somebody revoked it."""
        live = await deploy(platform, write_project(tmp_path / "p", project))
        await audit(platform, project, until="model.started")
        certificate = str(live.certificate)
        await placet(platform, "certificate", "revoke", certificate, "--reason", "it harms")
        entries = await audit(platform, project, until="model.quarantined")
        times = {each["event"]["type"].split(".", 2)[2]: each["event"]["time"] for each in entries}
        places = {each["event"]["type"].split(".", 2)[2]: each["position"] for each in entries}

        async def is_covered() -> bool:
            size = (await placet(platform, "audit", "checkpoint"))["size"]
            return bool(size >= max(places.values()))

        await eventually(is_covered)
        asked, served, now = [
            await placet(platform, "audit", "why", project, *at)
            for at in (("--at", times["deploy.requested.v1"]), ("--at", times["model.started.v1"]), ())
        ]
        assert [each["reason"] for each in (asked, served, now)] == [
            "never-certified",
            "certified",
            "revoked",
        ]
        assert [each["ran"] for each in (asked, served, now)] == [False, True, False]
        assert [each["kind"] for each in asked["later"]] == ["certified"]
        assert served["release"]["source"] == live.source
        assert served["certificate"]["certificate"] == certificate
        assert served["certificate"]["position"] == places["certificate.issued.v1"]
        assert {each["stage"] for each in served["policies"]} == {"submit", "certify"}
        assert {each["stage"] for each in served["inputs"]} == {"submit", "certify"}
        assert {each["kind"] for each in served["later"]} == {"revoked", "quarantined"}
        assert served["checkpoint"] >= served["lastPosition"] >= places["model.quarantined.v1"]

        changes = await printed(
            platform,
            *("audit", "replay", "--state", "--project", project),
            *("--at", times["model.started.v1"], "--compare", times["model.quarantined.v1"]),
        )
        told = {each["kind"]: each["fields"] for each in map(json.loads, changes.splitlines())}
        assert (told["certificate"]["state"]["before"], told["certificate"]["state"]["after"]) == (
            "valid",
            "revoked",
        )
        assert told["project"]["state"]["after"] == "quarantined"

    async def test_three_commands_of_the_how_to_answer_why_a_model_was_allowed_and_prove_it(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """As they stand there, with another project, moment and key."""
        await deploy(platform, write_project(tmp_path / "p", project))
        entries = await audit(platform, project, until="model.started")
        at = entries[-1]["event"]["time"]
        key = (await placet(platform, "audit", "verify", "--anew"))["signedBy"]
        commands = "".join(commands_of(HOW_TO)[:3]).replace("churn", project)
        commands = re.sub(r"2026-03-01(T23:59:59Z)?", at, commands)
        commands = re.sub(r"--log-key '[^']+'", f"--log-key '{key}'", commands)
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        known = {**os.environ, **platform.environment(), "PATH": programs}
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euc", commands), cwd=tmp_path, env=known, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await shell.communicate()
        assert shell.returncode == 0, told.decode()
        lines = told.decode().splitlines()
        assert "it was allowed to run, and ran" in lines[0]
        assert "rules of stage certify run again" in told.decode()
        assert lines[-1].startswith("it holds")

    async def test_somebody_is_forgotten_and_the_log_holds_as_before(
        self, platform: Platform, project: str
    ) -> None:
        name, words = f"ada@{project}.example", f"known to {project} for years"
        ada = await placet(platform, "token", "create", "--as", name, "--role", "scientist")
        rule = "model.pickle-by-exception"
        of = ("--rule", rule, "--days", "30", "--reason", words)
        await placet(platform, "exception", "request", project, *of, token=ada["token"])
        held = await placet(platform, "privacy", "show", name)
        assert (held["name"], [each["words"] for each in held["given"]]) == (name, [words])
        await placet(platform, "audit", "verify", "--anew")

        erased = await placet(platform, "privacy", "erase", name, "--yes")
        await audit(platform, "platform", until="person.erased")

        assert erased["person"] == held["person"]
        [exception] = (await placet(platform, "exception", "list", project))["exceptions"]
        assert exception["reason"] == "erased"
        assert exception["requestedBy"] == {"person": held["person"], "name": erased["name"]}
        assert (await placet(platform, "audit", "verify"))["verified"]
        assert (await placet(platform, "audit", "verify", "--anew"))["verified"]
        replayed = await printed(platform, "audit", "replay")
        assert held["person"] in replayed
        assert name not in replayed
        assert words not in replayed
        unknown = await placet(platform, "privacy", "show", name, status=1)
        assert "nobody is called" in unknown["error"]["detail"]
        await placet(platform, "list", status=1, token=ada["token"])
