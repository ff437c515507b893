"""What users do, end to end, as one suite: it runs on the embedded platform and on six processes alike.

A scenario sees a URL and a token (`Platform`) and nothing of how the platform runs. Do: ask over REST or the
client, wait for the operation, look at what a user would look at. Don't: look into a database or a log file.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import pytest
import skops.io
from placet.assessments import Questionnaire, asked_questions, load_shipped
from placet.cli.examination import examine
from placet.client import Client, Connection, Operation
from placet.projects import pack, trusted_types, unpack

from tests.mlflow_folders.frames import VISITS
from tests.support.eventually import eventually
from tests.support.git_server import new_repository
from tests.support.platforms import Platform
from tests.system.models import requirement, write_project

MLFLOW = Path(__file__).parents[1] / "mlflow_folders"


class MainJob:
    """From a folder to a URL, and what becomes of it: what differs by where models run. Subclass with a `platform`
    fixture."""

    @pytest.fixture
    def project(self) -> str:
        """A name no other scenario uses."""
        return f"model-{token_hex(5)}"

    async def test_a_model_folder_becomes_a_certified_url(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        assert live.state == "live"
        assert live.built is True
        assert [step.name for step in live.steps] == [
            "requested",
            "cleared",
            "reserved",
            "built",
            "indexed",
            "certified",
            "live",
        ]
        assert all(step.state == "done" for step in live.steps)
        others = {verdict.rule for verdict in live.verdicts if verdict.result != "pass"}
        assert others == {"advisories.recent"}, "nobody published any, which is a warning"
        assert live.url == f"{platform.url}/models/{project}"
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        async with platform.http() as http:
            metadata = (await http.get(f"/models/{project}/v2/models/{project}")).json()
            ready = await http.get(f"/models/{project}/v2/health/ready")
            docs = await http.get(f"/models/{project}/docs")
        assert metadata["name"] == project
        assert ready.status_code == 200
        assert docs.status_code == 200
        assert "sandbox" in docs.headers["content-security-policy"]
        assert f"{platform.url}/models/{project}/predict" in docs.text

    async def test_the_same_source_again_builds_nothing(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project)
        first, second = await deploy(platform, folder), await deploy(platform, folder)
        assert (first.release, second.release) == (1, 2)
        assert (first.built, second.built) == (True, False)
        assert second.image == first.image
        assert second.state == "live"

    async def test_a_changed_model_replaces_the_one_that_serves(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "a", project))
        second = await deploy(platform, write_project(tmp_path / "b", project, weight=7.0))
        assert second.state == "live"
        assert await predict(platform, project, 2.0) == pytest.approx(14.0)

    async def test_stop_start_and_delete(self, platform: Platform, tmp_path: Path, project: str) -> None:
        await deploy(platform, write_project(tmp_path / "p", project))
        stopped = await ask(platform, "stop", project)
        assert stopped.state == "stopped"
        async with platform.http() as http:
            assert (await http.post(f"/models/{project}/predict", json={})).status_code == 404
        started = await ask(platform, "start", project)
        assert started.state == "live"
        assert await predict(platform, project, 1.0) == pytest.approx(2.0)
        deleted = await ask(platform, "delete", project)
        assert deleted.state == "deleted"
        async with platform.http() as http:
            assert (await http.get(f"/models/{project}/v2/health/ready")).status_code == 404
        async with client_of(platform) as client:
            assert (await client.model(project)).state == "deleted"

    async def test_an_image_from_the_list_is_deployed_under_another_name(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        first = await deploy(platform, write_project(tmp_path / "p", project))
        async with client_of(platform) as client:
            (image,) = await client.images(project=project, certificate="valid")
            assert image.image == first.image
            assert image.owner is not None
            assert image in await client.images(owner=image.owner, format=image.format)
            asked = await client.command("deploy", project=f"{project}-2", image=image.image)
            second = await finish(client, asked)
            await client.download_source(image.image, tmp_path / "fetched.tar")
        assert (second.state, second.built, second.image) == ("live", False, first.image)
        assert await predict(platform, f"{project}-2", 4.0) == pytest.approx(8.0)
        unpack(tmp_path / "fetched.tar", tmp_path / "fetched")
        again = await deploy(platform, tmp_path / "fetched")
        assert (again.state, again.source, again.built) == ("live", first.source, False)


class Scenarios(MainJob):
    """All of it. Subclass with a `platform` fixture."""

    # the main road

    async def test_a_model_is_deployed_from_the_repository_where_it_is_kept(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """And is the source that a clone of it would be."""
        repository = new_repository(platform.git.root / project)
        folder = write_project(repository.folder / "models" / "one", project)
        commit = repository.commit({"data.csv": b"1,2\n"})

        address = f"{platform.git.url(repository)}@main#subdirectory=models/one"
        async with client_of(platform) as client:
            live = await finish(client, await client.command("deploy", git=address))
            said = [each async for each in client.events(project=project) if "uploaded" in each["type"]]
        assert live.state == "live"
        assert live.source == pack(folder, tmp_path / "same.tar").digest
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        origin = f"git+{platform.git.url(repository)}@{commit}#subdirectory=models/one"
        assert [each["data"]["origin"] for each in said] == [origin]

    async def test_a_zip_from_a_browser_is_the_source_that_its_folder_is(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project)
        packed = shutil.make_archive(str(tmp_path / "sent"), "zip", tmp_path, "p")
        async with platform.http() as http:
            home = await http.get("/")
            answer = await http.post(
                "/v1/sources",
                files={"archive": ("p.zip", Path(packed).read_bytes())},  # noqa: ASYNC240
                headers=platform.authorized(),
            )
        assert (home.status_code, home.headers["location"]) == (303, "/console/models")
        assert answer.status_code == 201
        assert answer.json()["source"] == pack(folder, tmp_path / "same.tar").digest
        assert (answer.json()["state"], answer.json()["refusals"]) == ("cleared", [])

    async def test_its_certificate_is_signed_and_speaks_of_the_image(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        async with client_of(platform) as client:
            assert live.certificate is not None
            certificate = await client.certificate(live.certificate)
        digests = {subject["digest"]["sha256"] for subject in certificate.statement["subject"]}
        assert live.image is not None
        assert live.image.removeprefix("sha256:") in digests
        assert certificate.envelope["signatures"]

    async def test_a_stop_overtakes_a_deploy_that_is_under_way(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        archive = tmp_path / "p.tar"
        packed = pack(write_project(tmp_path / "p", project), archive)
        async with client_of(platform) as client:
            await client.upload(archive, packed.digest)
            asked = await client.command("deploy", digest=packed.digest)
            assert (await ask(platform, "stop", project)).state == "stopped"
            ended = await finish(client, asked)
        assert ended.state == "failed"
        assert f"a later request for {project} overtook release 1" in ended.refusals[0].why
        async with platform.http() as http:
            assert (await http.post(f"/models/{project}/predict", json={})).status_code == 404

    async def test_what_the_builder_writes_is_read_to_its_end(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        async with client_of(platform) as client:
            async with client.build_log(project, 1, follow=True) as lines:
                written = [line async for line in lines]
            assert live.image is not None
            assert live.image in written[-1]
            async with client.build_log(project, 1) as lines:
                assert [line async for line in lines] == written

    async def test_a_build_ends_with_the_certificate_and_runs_nothing(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        built = await deploy(platform, write_project(tmp_path / "p", project), command="build")
        assert built.state == "certified"
        assert built.url is None
        started = await ask(platform, "start", project)
        assert started.state == "live"

    async def test_a_folder_as_mlflow_writes_it_is_tried_out_with_nothing_added(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = Path(shutil.copytree(MLFLOW / "visits", tmp_path / project))
        live = await placet(platform, "deploy", str(folder))
        assert live["refusals"] == []
        assert (live["state"], live["project"]) == ("live", project)
        async with platform.http() as http:
            url = f"/models/{project}/predict"
            asked = {"inputs": json.loads(VISITS.to_json(orient="records"))}
            assert (await http.post(url, json=asked)).status_code == 401
            answer = await http.post(url, json=asked, headers=platform.authorized())
        model = skops.io.load(folder / "model.skops", trusted=list(trusted_types()))
        assert answer.json()["outputs"] == model.predict(VISITS).tolist()
        assert np.array(answer.json()["probabilities"]) == pytest.approx(model.predict_proba(VISITS))
        async with client_of(platform) as client:
            certificate = await client.certificate(live["certificate"])
            images = {image.image: image.format for image in await client.images()}
        said = certificate.statement["predicate"]
        span = datetime.fromisoformat(said["notAfter"]) - datetime.fromisoformat(said["notBefore"])
        assert span == timedelta(days=7)
        assert images[live["image"]] == "mlflow"

    async def test_what_is_certified_is_no_garbage_though_its_project_is_deleted(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        await ask(platform, "delete", project)
        async with client_of(platform) as client:
            collected = await client.collect_garbage(older_than=1)
            kept = {item.digest: item.why for item in (await client.garbage(older_than=1)).keep}
        assert collected.removed == ()
        assert live.image is not None
        assert live.source is not None
        assert str(live.certificate) in kept[live.image]
        assert live.image in kept[live.source]

    async def test_a_model_that_is_asked_for_what_it_was_not_made_for_is_observed_to_drift(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        """Windows are closed by what is asked in them: idle ones are silent."""
        await deploy(platform, write_project(tmp_path / "p", project, reference=range(200)))
        asked = {"inputs": [[150.0 + number / 10] for number in range(150)]}
        async with platform.http() as http:
            answer = await http.post(f"/models/{project}/predict", json=asked)
        assert len(answer.json()["outputs"]) == 150

        drifted = ("events", "--project", project, "--type", "placet.deployer.model.observed.*")

        async def with_drift() -> list[dict[str, Any]]:
            told = [json.loads(line) for line in (await printed(platform, *drifted)).splitlines()]
            return [each["data"] for each in told if each["data"].get("drift")]

        (observed,) = await eventually(with_drift)
        assert (observed["project"], observed["release"], observed["errors"]) == (project, 1, 0)
        assert observed["since"] < observed["until"]
        assert observed["drift"]["rows"] >= 150
        assert observed["drift"]["psi"] > 0.2
        told = {name: value for name, value in observed["drift"].items() if name != "parts"}

        async def is_shown() -> bool:
            async with platform.http() as http:
                model = await http.get(f"/v1/models/{project}", headers=platform.authorized())
            return bool((model.json()["observed"] or {}).get("drift") == told)

        await eventually(is_shown)

    async def test_a_model_whose_certificate_is_revoked_leaves_its_url_and_callers_are_told(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project)
        live = await deploy(platform, folder)
        certificate = str(live.certificate)
        revoked = await placet(platform, "certificate", "revoke", certificate, "--reason", "it harms")
        assert (revoked["state"], revoked["project"]) == ("revoked", project)
        told = await eventually(lambda: refusal_of(platform, project))
        assert told["rule"] == "certificate.revoked"
        assert certificate in told["detail"]
        model = await taken_off(platform, project)
        assert model["refusals"][0]["rule"] == "certificate.revoked"
        started = await ask(platform, "start", project)
        assert (started.state, "it was revoked" in started.refusals[0].why) == ("failed", True)
        again = await deploy(platform, folder)
        assert (again.state, again.built) == ("live", False)
        assert again.certificate != certificate
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)

    async def test_a_model_that_leaves_its_conditions_leaves_its_url_and_is_tried_again_later(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        condition = {
            "metric": "psi",
            "max": 0.2,
            "minSamples": 100,
            "window": "1h",
            "action": "suspend",
            "retryAfter": "15s",
        }
        folder = write_project(tmp_path / "p", project, reference=range(200), monitoring=[condition])
        live = await deploy(platform, folder)
        certificate = str(live.certificate)
        shown = await placet(platform, "certificate", "show", certificate)
        assert [each["max"] for each in shown["statement"]["predicate"]["conditions"]] == [0.2]

        asked = {"inputs": [[150.0 + number / 10] for number in range(150)]}
        async with platform.http() as http:
            answer = await http.post(f"/models/{project}/predict", json=asked)
        assert answer.status_code == 200
        told = await eventually(lambda: refusal_of(platform, project))
        assert told["rule"] == "operation.conditions-kept"
        assert certificate in told["detail"]
        assert f"{project} is outside of its conditions: psi of x is " in told["detail"]
        model = await taken_off(platform, project)
        assert model["refusals"][0]["rule"] == "operation.conditions-kept"

        assert await eventually(lambda: answers(platform, project), within=90)
        of = ("events", "--project", project, "--type", "placet.certifier.certificate.*")

        async def of_its_certificates() -> list[dict[str, Any]]:
            """Once the log has heard that it stands again."""
            said = [json.loads(line) for line in (await printed(platform, *of)).splitlines()]
            return said if len(said) >= 3 else []

        said = await eventually(of_its_certificates)
        assert [each["type"].split(".")[3] for each in said] == ["issued", "suspended", "reinstated"]
        (measured,) = said[1]["data"]["grounds"][0]["measured"]
        assert (measured["metric"], measured["limit"], measured["column"]) == ("psi", 0.2, "x")
        assert measured["value"] > 0.2
        assert (await placet(platform, "certificate", "show", certificate))["state"] == "valid"

    async def test_a_model_of_high_risk_serves_once_what_it_can_do_to_people_was_assessed_and_as_long_as_that_holds(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        watched = {"owner": "o@example.org", "stopOwner": "s@example.org", "stopTestedAt": "2026-11-01"}
        high = {"riskClass": "high", "oversight": watched}
        folder = write_project(tmp_path / "p", project, declaring=high)
        waits = await placet(platform, "deploy", str(folder), status=4)
        assert (waits["state"], [each["rule"] for each in waits["awaiting"]]) == (
            "awaiting",
            ["assessment.made"],
        )

        listed = (await placet(platform, "assess", "--list"))["questionnaires"]
        assert {each["questionnaire"] for each in listed} >= {"algorithmic-impact", "fundamental-rights"}
        file = tmp_path / "answers.yaml"
        file.write_text(await printed(platform, "assess", "--template"))
        assert "error" in await placet(platform, "assess", project, "--answers", str(file), status=1)
        [questionnaire] = [each for each in load_shipped() if each.id == "algorithmic-impact"]
        secret = f"Nobody but {token_hex(8)}"
        file.write_text(json.dumps({**mildest(questionnaire), "reach-said": secret}))
        made = await placet(platform, "assess", project, "--answers", str(file))
        assert (made["state"], made["score"]["level"], made["stale"]) == ("scored", 1, [])
        assert made["source"] == waits["source"]

        async def is_live() -> bool:
            told = await placet(platform, "status", waits["operation"])
            assert told["state"] == "live", (told["state"], told["awaiting"], told["refusals"], told["steps"])
            return True

        await eventually(is_live, within=90)
        other = write_project(tmp_path / "p", project, declaring={**high, "purpose": "Dividing in tests"})
        waits = await placet(platform, "deploy", str(other), status=4)
        assert [each["rule"] for each in waits["awaiting"]] == ["assessment.current"]
        assert "another now: purpose, source" in waits["awaiting"][0]["why"]
        shown = await placet(platform, "assess", "--show", project)
        assert [each["stale"] for each in shown["assessments"]] == [["purpose", "source"]]
        said = await printed(platform, "events", "--project", project)
        kinds = [json.loads(line)["type"] for line in said.splitlines()]
        assert [kind.split(".")[3] for kind in kinds if ".assessment." in kind] == ["answered", "scored"]
        assert secret not in said
        assert await predict(platform, project, 5.0) == pytest.approx(10.0), "what was certified serves on"

    async def test_a_stricter_policy_warns_first_where_asked_and_then_takes_what_runs_off_its_url(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        certificate, rule = str(live.certificate), f"{project}.licensed"
        file = tmp_path / "house.yaml"

        async def publish(text: str, *words: str) -> None:
            file.write_text(text)
            assert (await placet(platform, "policy", "publish", str(file), *words))["state"] == "in-force"

        async def standing() -> tuple[str, list[str]]:
            shown = await placet(platform, "certificate", "show", certificate)
            return shown["state"], [each["rule"] for each in shown["warnings"]]

        await publish(house_policy(project), "--warn-first", "7d")
        await eventually(lambda: is_so(standing, ("valid", [rule])))
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)

        await publish(house_policy(project, version=2))
        told = await eventually(lambda: refusal_of(platform, project))
        assert told["rule"] == rule
        assert certificate in told["detail"]
        assert "none is under CC0-1.0, and that is no licence of the house" in told["detail"]
        assert await standing() == ("suspended", [])

        await publish(house_policy(project, version=3).replace('== "ODbL-1.0"', '!= "MIT"'))
        assert await eventually(lambda: answers(platform, project))
        assert await standing() == ("valid", [])
        seen = await placet(platform, "policy", "facts", project)
        assert seen["submit"]["data"]["licences"] == ["CC0-1.0"]
        versions = [f"house.{project}@{version}" for version in (3, 2)]
        told = await placet(platform, "policy", "diff", *versions, "--history")
        assert told["history"]["stopping"] == [{"project": project, "release": 1}]
        (flip,) = told["history"]["flips"]
        assert (flip["project"], flip["certificate"], flip["after"]) == (project, None, "refused")
        assert flip["rules"][0]["why"] == "none is under CC0-1.0, and that is no licence of the house"

    # what is refused, and how

    async def test_a_package_that_is_known_to_be_hostile_is_refused_until_it_is_known_not_to_be(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project)
        with (folder / "requirements.txt").open("a") as requirements:
            requirements.write(f"{requirement('boolean.py')}\n")
        hostile, mended = snapshots(tmp_path, "boolean.py", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
        published = await placet(platform, "advisories", "publish", str(hostile))
        assert (published["state"], published["packages"]) == ("in-use", 1)

        refused = await deploy(platform, folder)
        told = [(each.rule, each.why) for each in refused.refusals]
        version = requirement("boolean.py").rpartition("=")[2]
        why = f"the package boolean-py {version} is known to be hostile, MAL-2026-1"
        assert (refused.state, told) == ("refused", [("advisories.none-hostile", why)]), told
        assert refused.certificate is None

        published = await placet(platform, "advisories", "publish", str(mended))
        assert published["state"] == "in-use"
        live = await deploy(platform, folder)
        assert live.state == "live"
        again = await placet(platform, "advisories", "publish", str(hostile))
        assert again["state"] == "replaced"

    async def test_a_trial_never_takes_the_place_of_a_release_that_people_answer_for(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "p", project))
        folder = Path(shutil.copytree(MLFLOW / "iris", tmp_path / project))
        refused = await placet(platform, "deploy", str(folder), status=1)
        assert [refusal["rule"] for refusal in refused["refusals"]] == ["trial.of-a-new-project"]
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)

    async def test_a_rule_refuses_with_its_reason_and_its_fix(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        refused = await deploy(platform, write_project(tmp_path / "p", project, without=("owner", "purpose")))
        assert refused.state == "refused"
        assert len(refused.refusals) >= 2
        assert all(refusal.rule and refusal.why and refusal.fix for refusal in refused.refusals)
        assert refused.image is None

    async def test_a_release_waits_for_two_people_who_did_not_ask_for_it(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        file = tmp_path / "four-eyes.yaml"
        file.write_text(four_eyes(project))
        await placet(platform, "policy", "publish", str(file))
        folder = write_project(tmp_path / "p", project)
        waits = await placet(platform, "deploy", str(folder), status=4)
        rule = f"{project}.approved"
        assert (waits["state"], waits["refusals"]) == ("awaiting", [])
        assert waits["awaiting"] == [{"rule": rule, "why": "0 people approved it, and 2 are needed"}]
        assert (await placet(platform, "status", project))["state"] == "awaiting"
        assert not await answers(platform, project)

        own = await placet(platform, "approve", project, status=1)
        assert own["error"]["rule"] == "approval.role"
        me = await placet(platform, "token", "create", "--as", "admin", "--role", "approver")
        own = await placet(platform, "approve", project, status=1, token=me["token"])
        assert own["error"]["rule"] == "approval.own"
        bob, grace = [
            (await placet(platform, "token", "create", "--as", f"{name}-{project}", "--role", role))["token"]
            for name, role in (("bob", "approver"), ("grace", "compliance"))
        ]
        looked_at = await placet(platform, "approve", project, "--look", token=bob)
        first = await placet(platform, "approve", project, "--reason", "tried it", token=bob)
        assert first["binding"] == looked_at["binding"]
        twice = await placet(platform, "approve", project, status=1, token=bob)
        assert twice["error"]["rule"] == "approval.twice"

        async def is_told() -> bool:
            said = (await placet(platform, "status", waits["operation"]))["awaiting"]
            return bool(said == [{"rule": rule, "why": "1 people approved it, and 2 are needed"}])

        await eventually(is_told)
        await placet(platform, "approve", project, "--binding", looked_at["binding"], token=grace)

        async def is_live() -> bool:
            return bool((await placet(platform, "status", waits["operation"]))["state"] == "live")

        await eventually(is_live)
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        live = await placet(platform, "status", project)
        certificate = await placet(platform, "certificate", "show", live["certificate"])
        approvals = certificate["statement"]["predicate"]["approvals"]
        assert [each["roles"] for each in approvals] == [["approver"], ["compliance"]]
        assert len({each["givenBy"] for each in approvals}) == 2

    async def test_two_people_have_what_waits_served_for_a_day_and_owe_a_review(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        file = tmp_path / "four-eyes.yaml"
        file.write_text(four_eyes(project))
        await placet(platform, "policy", "publish", str(file))
        folder = write_project(tmp_path / "p", project)
        waits = await placet(platform, "deploy", str(folder), status=4)
        people = [
            (await placet(platform, "token", "create", "--as", f"{name}-{project}", "--role", role))["token"]
            for name, role in (("bob", "operator"), ("grace", "approver"), ("alan", "compliance"))
        ]
        haste = ("approve", project, "--break-glass", "--reason", "it cannot wait")
        for token in people[:2]:
            await placet(platform, *haste, token=token)

        async def is_live() -> bool:
            return bool((await placet(platform, "status", waits["operation"]))["state"] == "live")

        await eventually(is_live)
        assert await predict(platform, project, 5.0) == pytest.approx(10.0)
        live = await placet(platform, "status", project)
        [owed] = live["reviewsOwed"]
        assert owed["certificate"] == live["certificate"]
        shown = await placet(platform, "certificate", "show", live["certificate"])
        said = shown["statement"]["predicate"]
        begins, ends = (datetime.fromisoformat(said[each]) for each in ("notBefore", "notAfter"))
        assert said["breakGlass"] is True
        assert ends - begins == timedelta(hours=24)
        failed = [each["rule"] for each in said["verdicts"] if each["result"] != "pass"]
        assert f"{project}.approved" in failed

        review = ("approve", project, "--review", live["certificate"], "--reason", "it was right")
        own = await placet(platform, *review, status=1, token=people[1])
        assert own["error"]["rule"] == "review.own"
        await placet(platform, *review, token=people[2])
        assert (await placet(platform, "status", project))["reviewsOwed"] == []

    async def test_a_policy_of_the_house_is_published_and_what_is_deployed_from_then_on_is_judged_by_it(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project)
        assert (await deploy(platform, folder)).state == "live"
        file = tmp_path / "house.yaml"
        file.write_text(house_policy(project))
        first = await placet(platform, "policy", "publish", str(file))
        assert (first["state"], first["version"]) == ("in-force", 1)

        refused = await deploy(platform, folder)
        told = [(each.rule, each.why, each.fix) for each in refused.refusals]
        words = ("none is under CC0-1.0, and that is no licence of the house", "ask the legal department")
        assert (refused.state, told) == ("refused", [(f"{project}.licensed", *words)])
        file.write_text(house_policy(project, version=1, on_fail="warn"))
        rejected = await placet(platform, "policy", "publish", str(file), status=1)
        assert rejected["problems"][0]["fix"] == "make it version 2"

        file.write_text(house_policy(project, version=2, on_fail="warn"))
        second = await placet(platform, "policy", "publish", str(file))
        live = await deploy(platform, folder)
        assert live.state == "live"
        certificate = await placet(platform, "certificate", "show", str(live.certificate))
        judged = [each for each in certificate["statement"]["predicate"]["policies"] if project in each["id"]]
        assert judged == [{"id": f"house.{project}", "version": 2, "digest": second["digest"]}]
        assert (
            await printed(platform, "policy", "show", f"house.{project}", "--version", "1")
        ) == house_policy(project)
        listed = await placet(platform, "policy", "list")
        states = [
            (each["version"], each["state"]) for each in listed["policies"] if project in each["policy"]
        ]
        assert sorted(states) == [(1, "rejected"), (1, "superseded"), (2, "in-force")]

    async def test_the_platform_refuses_in_the_words_of_a_check_on_the_own_machine(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        folder = write_project(tmp_path / "p", project, without=("owner", "purpose"))
        (folder / "README.md").unlink()
        refused = await deploy(platform, folder)
        pack(folder, tmp_path / "source.tar")
        checked = examine(tmp_path / "source.tar")
        assert "there is no file README.md" in str(refused.refusals)
        assert refused.refusals == checked.refusals
        assert refused.source == checked.source

    async def test_a_refused_deploy_is_told_apart_from_the_release_that_serves(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        first = await deploy(platform, write_project(tmp_path / "good", project))
        refused = await deploy(platform, write_project(tmp_path / "bad", project, without=("owner",)))
        async with client_of(platform) as client:
            model = await client.model(project)
        assert (model.release, model.state, model.url) == (1, "live", first.url)
        assert (model.image, model.source, model.certificate) == (
            first.image,
            first.source,
            first.certificate,
        )
        assert model.cause == first
        assert model.operation == refused
        assert (refused.release, refused.source != first.source) == (2, True)

    async def test_an_unknown_project_is_a_404_that_says_so(self, platform: Platform) -> None:
        for command in ("start", "stop", "delete"):
            async with platform.http() as http:
                answer = await http.post(
                    "/v1/commands",
                    json={"command": command, "project": "nobody"},
                    headers=platform.authorized(),
                )
            assert answer.status_code == 404
            assert "nobody" in problem(answer)["detail"]

    async def test_a_source_that_is_not_what_its_digest_says_is_refused(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        archive = tmp_path / "source.tar"
        pack(write_project(tmp_path / "p", project), archive)
        answer = await put(platform, "0" * 64, archive.read_bytes())
        assert answer.status_code == 422
        assert "sha256:" in problem(answer)["detail"]
        async with platform.http() as http:
            asked = {"command": "deploy", "source": {"digest": f"sha256:{'0' * 64}"}}
            deploy_it = await http.post("/v1/commands", json=asked, headers=platform.authorized())
        assert deploy_it.status_code == 404

    async def test_an_unknown_image_is_a_404(self, platform: Platform) -> None:
        async with platform.http() as http:
            asked = {"command": "deploy", "source": {"image": f"sha256:{'1' * 64}"}}
            answer = await http.post("/v1/commands", json=asked, headers=platform.authorized())
        assert answer.status_code == 404
        assert "list --images" in problem(answer)["fix"]

    @pytest.mark.parametrize("kind", ["traversal", "absolute", "symlink", "hardlink", "device", "bomb"])
    async def test_a_hostile_archive_is_refused_and_nothing_is_kept(
        self, platform: Platform, kind: str
    ) -> None:
        body = hostile_archive(kind)
        digest = hashlib.sha256(body).hexdigest()
        answer = await put(platform, digest, body)
        assert 400 <= answer.status_code < 500
        assert problem(answer)["detail"]
        async with platform.http() as http:
            again = await http.head(f"/v1/sources/{digest}", headers=platform.authorized())
        assert again.status_code == 404

    async def test_a_broken_model_fails_and_what_served_before_still_serves(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "good", project))
        broken = await deploy(platform, write_project(tmp_path / "bad", project, broken=True))
        assert broken.state in ("failed", "refused")
        assert broken.refusals[0].why
        assert await predict(platform, project, 3.0) == pytest.approx(6.0)

    async def test_a_start_brings_back_what_was_live_and_not_what_failed(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        await deploy(platform, write_project(tmp_path / "good", project))
        failed = await deploy(platform, write_project(tmp_path / "bad", project, sample_answer=99.0))
        assert failed.state == "failed"
        await ask(platform, "stop", project)
        started = await ask(platform, "start", project)
        assert (started.state, started.release) == ("live", 1)
        assert await predict(platform, project, 3.0) == pytest.approx(6.0)

    async def test_a_sample_answer_that_does_not_match_keeps_the_model_off_its_url(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        failed = await deploy(platform, write_project(tmp_path / "p", project, sample_answer=99.0))
        assert failed.state == "failed"
        assert "99" in failed.refusals[0].why
        async with platform.http() as http:
            assert (await http.get(f"/models/{project}/v2/health/ready")).status_code in (404, 503)

    # asking well

    async def test_the_same_idempotency_key_is_the_same_operation(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        built = await deploy(platform, write_project(tmp_path / "p", project), command="build")
        headers = {**platform.authorized(), "Idempotency-Key": token_hex(16)}
        body = {"command": "deploy", "source": {"digest": built.source}}
        async with platform.http() as http:
            first = await http.post("/v1/commands", json=body, headers=headers)
            second = await http.post("/v1/commands", json=body, headers=headers)
            other = await http.post("/v1/commands", json={**body, "project": f"{project}-x"}, headers=headers)
        assert first.headers["location"] == second.headers["location"]
        assert other.status_code == 409

    async def test_without_a_token_there_is_nothing_to_see(self, platform: Platform) -> None:
        async with platform.http() as http:
            for path in ("/v1/models", "/v1/images", "/v1/events", "/v1/audit/entries", "/v1/operations/x"):
                answer = await http.get(path)
                assert answer.status_code == 401, path
                problem(answer)

    async def test_a_role_that_may_not_is_told_which_one_may(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        async with client_of(platform) as client:
            auditor = await client.create_token("An auditor", ("auditor",))
        async with platform.http() as http:
            headers = {"Authorization": f"Bearer {auditor.token}"}
            answer = await http.post(
                "/v1/commands", json={"command": "stop", "project": project}, headers=headers
            )
        assert answer.status_code == 403
        assert "operator" in problem(answer)["detail"]

    async def test_a_revoked_token_is_nobody(self, platform: Platform) -> None:
        async with client_of(platform) as client:
            token = await client.create_token("Somebody", ("scientist",))
            await client.revoke_token(token.id)
        async with platform.http() as http:
            answer = await http.get("/v1/models", headers={"Authorization": f"Bearer {token.token}"})
        assert answer.status_code == 401

    # the log

    async def test_the_audit_log_tells_the_whole_stream_in_order(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        live = await deploy(platform, write_project(tmp_path / "p", project))
        entries = await audit(platform, project, until="model.started")
        mine = [entry for entry in entries if entry["event"]["correlationid"] == live.operation]
        told = [entry["event"]["type"].removeprefix("placet.").removesuffix(".v1") for entry in mine]
        assert set(told) >= {
            "gateway.deploy.requested",
            "certifier.release.cleared",
            "deployer.resources.reserved",
            "builder.build.accepted",
            "builder.image.built",
            "indexer.image.indexed",
            "certifier.certificate.issued",
            "deployer.start.accepted",
            "deployer.model.started",
        }
        causes = {entry["event"]["id"]: entry["event"].get("causationid") for entry in mine}
        started = next(entry for entry in mine if entry["event"]["type"].endswith("model.started.v1"))
        chain = [started["event"]["id"]]
        while (cause := causes.get(chain[-1])) is not None:
            chain.append(cause)
        assert chain[-1] == mine[0]["event"]["id"], "every step leads back to the request"

    async def test_the_audit_log_is_contiguous_for_itself_and_for_each_producer(
        self, platform: Platform
    ) -> None:
        entries = await audit(platform)
        assert [entry["position"] for entry in entries] == list(range(1, len(entries) + 1))
        by_producer: dict[tuple[str, str], list[int]] = {}
        for entry in entries:
            by_producer.setdefault((entry["producer"], entry["epoch"]), []).append(entry["producerPosition"])
        for producer, positions in by_producer.items():
            assert positions == list(range(positions[0], positions[0] + len(positions))), producer
            assert positions[0] == 1, producer

    async def test_no_event_names_a_person(self, platform: Platform, tmp_path: Path, project: str) -> None:
        await deploy(platform, write_project(tmp_path / "p", project))
        entries = await audit(platform, project, until="model.started")
        assert not any("example.org" in str(entry["event"]) for entry in entries)
        asked = next(entry for entry in entries if entry["event"]["type"].endswith("deploy.requested.v1"))
        assert asked["event"]["authid"].startswith("person:")

    # before its time is over

    async def test_a_certificate_is_renewed_and_who_asks_meanwhile_is_always_answered(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        first = await deploy(platform, write_project(tmp_path / "p", project))
        over = asyncio.Event()
        asking = asyncio.create_task(ask_until(platform, project, over))
        renewed = await placet(platform, "certificate", "renew", project)
        over.set()
        statuses = await asking
        assert set(statuses) == {200}, "of every request"
        assert (renewed["command"], renewed["state"], renewed["built"]) == ("renew", "live", False)
        assert (renewed["release"], renewed["renews"]) == (2, first.certificate)
        assert (renewed["image"], renewed["source"]) == (first.image, first.source)

        before, after = [
            await placet(platform, "certificate", "show", str(each))
            for each in (first.certificate, renewed["certificate"])
        ]
        assert (before["state"], before["renewedBy"]) == ("valid", renewed["certificate"])
        assert after["statement"]["predicate"]["renews"] == first.certificate
        of = ("events", "--project", project, "--type", "placet.certifier.certificate.issued.v1")
        said = [json.loads(line)["data"] for line in (await printed(platform, *of)).splitlines()]
        assert [each["renews"] for each in said] == [None, first.certificate]
        model = await placet(platform, "status", project)
        assert (model["release"], model["certificate"]) == (2, renewed["certificate"])

    async def test_a_renewal_that_the_rules_of_today_refuse_leaves_what_serves(
        self, platform: Platform, tmp_path: Path, project: str
    ) -> None:
        first = await deploy(platform, write_project(tmp_path / "p", project))
        file = tmp_path / "eyes.yaml"
        file.write_text(four_eyes(project))
        # What runs is only warned of, for now.
        await placet(platform, "policy", "publish", str(file), "--warn-first", "7d")
        waits = await placet(platform, "certificate", "renew", project, status=4)
        assert (waits["state"], waits["awaiting"][0]["rule"]) == ("awaiting", f"{project}.approved")
        again = await placet(platform, "certificate", "renew", project, status=4)
        assert again["operation"] == waits["operation"], "nobody approves in vain"
        model = await placet(platform, "status", project)
        assert (model["release"], model["certificate"]) == (1, first.certificate)
        assert await predict(platform, project, 3.0) == pytest.approx(6.0)


# The scenarios' words.


def house_policy(project: str, *, version: int = 1, on_fail: str = "deny") -> str:
    """A policy that asks one project for the licences of its data."""
    return f"""\
apiVersion: placet/v1
kind: Policy
id: house.{project}
version: {version}
title: Data of the house
owner: compliance
appliesTo: project.name == "{project}"
given:
  project: {{name: {project}}}
  data: {{sets: [{{name: census, licence: ODbL-1.0}}]}}
rules:
  - id: {project}.licensed
    title: Data is under a licence of the house
    citations: [{{source: House rules, section: "7"}}]
    stage: submit
    onFail: {on_fail}
    each: data.sets
    as: set
    require: set.licence == "ODbL-1.0"
    say: "{{{{ set.name }}}} is under {{{{ set.licence }}}}, and that is no licence of the house"
    fix: ask the legal department
    tests:
      - {{expect: pass}}
      - {{expect: fail, patch: {{data: {{sets: [{{name: census, licence: MIT}}]}}}}, says: census is under MIT}}
"""


def four_eyes(project: str) -> str:
    """A policy that asks one project for two people, as the one that placet offers does."""
    return f"""\
apiVersion: placet/v1
kind: Policy
id: eyes.{project}
version: 1
title: Four eyes
owner: compliance
appliesTo: project.name == "{project}"
given:
  project: {{name: {project}}}
  approvals: {{people: 2}}
rules:
  - id: {project}.approved
    title: Two people approved it
    citations: [{{source: House rules, section: "8"}}]
    stage: certify
    onFail: deny
    awaits: {{within: 14d, remind: 3d}}
    require: approvals.people >= 2
    say: "{{{{ approvals.people }}}} people approved it, and 2 are needed"
    fix: "`placet approve {{{{ project.name }}}}`"
    tests:
      - {{expect: pass}}
      - {{expect: awaited, patch: {{approvals: {{people: 1}}}}}}
"""


async def is_so(state: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return bool(await state() == wanted)


def client_of(platform: Platform) -> Client:
    """Who has the patience of a busy machine's user."""
    return Client(Connection(url=platform.url, token=platform.token), patience=120.0)


async def deploy(platform: Platform, folder: Path, *, command: Any = "deploy") -> Operation:
    """Pack, upload, ask, wait for the end."""
    archive = folder.with_suffix(".tar")
    packed = pack(folder, archive)
    async with client_of(platform) as client:
        if not await client.has_source(packed.digest):
            await client.upload(archive, packed.digest)
        return await finish(client, await client.command(command, digest=packed.digest))


async def placet(
    platform: Platform, *typed: str, status: int = 0, token: str | None = None
) -> dict[str, Any]:
    """What the command prints with `--json`, which must end with that status; `token` is whose it is."""
    said = await printed(platform, *typed, "--json", status=status, token=token)
    document: dict[str, Any] = json.loads(said)
    return document


async def printed(platform: Platform, *typed: str, status: int = 0, token: str | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "placet.cli", *typed),
        env={**os.environ, **platform.environment(token)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == status, errors.decode()
    return output.decode()


async def finish(client: Client, asked: Operation) -> Operation:
    assert asked.operation is not None
    return await client.finish(asked.operation)


async def ask(platform: Platform, command: Any, project: str) -> Operation:
    async with client_of(platform) as client:
        return await finish(client, await client.command(command, project=project))


async def predict(platform: Platform, project: str, value: float) -> float:
    async with platform.http() as http:
        answer = await http.post(f"/models/{project}/predict", json={"inputs": [[value]]})
        assert answer.status_code == 200, answer.text
        return float(answer.json()["outputs"][0][0])


async def taken_off(platform: Platform, project: str) -> dict[str, Any]:
    """The model, once it is. It is refused as soon as the gateway has heard why, which is before that."""

    async def quarantined() -> dict[str, Any] | None:
        model = await placet(platform, "status", project)
        return model if model["state"] == "quarantined" else None

    found: dict[str, Any] | None = await eventually(quarantined)
    assert found is not None
    return found


async def refusal_of(platform: Platform, project: str) -> dict[str, Any] | None:
    """What a caller of the model is told, where it does not answer."""
    async with platform.http() as http:
        answer = await http.post(f"/models/{project}/predict", json={"inputs": [[5.0]]})
    return None if answer.status_code == 200 or "rule" not in answer.json() else answer.json()


def mildest(questionnaire: Questionnaire) -> dict[str, str | tuple[str, ...]]:
    """Answers with the fewest points of risk, and the most of mitigation."""
    answers: dict[str, str | tuple[str, ...]] = {}
    while left := [id for id in asked_questions(questionnaire, answers) if id not in answers]:
        question = questionnaire.questions[left[0]]
        points = sorted(question.choices, key=lambda choice: choice.points)
        best = points[-1 if question.counts == "mitigation" else 0].value if points else "-"
        answers[question.id] = () if question.kind == "many" else best
    return answers


async def ask_until(platform: Platform, project: str, over: asyncio.Event) -> list[int]:
    """The status of each of many requests, one after the other, and of one more when it is over."""
    statuses: list[int] = []
    async with platform.http() as http:
        while True:
            is_last = over.is_set()
            answer = await http.post(f"/models/{project}/predict", json={"inputs": [[3.0]]})
            statuses.append(answer.status_code)
            if is_last:
                return statuses


async def answers(platform: Platform, project: str) -> bool:
    async with platform.http() as http:
        answer = await http.post(f"/models/{project}/predict", json={"inputs": [[5.0]]})
    return answer.status_code == 200


async def put(platform: Platform, digest: str, body: bytes) -> Any:
    async with platform.http() as http:
        return await http.put(f"/v1/sources/{digest}", content=body, headers=platform.authorized())


def problem(answer: Any) -> dict[str, Any]:
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    return body


async def audit(
    platform: Platform, project: str | None = None, *, until: str | None = None
) -> list[dict[str, Any]]:
    """The audit log's entries; with `until`, as soon as it holds such an event of the project."""

    async def entries() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with platform.http() as http:
            after = 0
            while True:
                asked = {"after": after, "limit": 500} | ({"project": project} if project else {})
                page = (
                    await http.get("/v1/audit/entries", params=asked, headers=platform.authorized())
                ).json()
                found += page["entries"]
                if page["next"] == after or not page["entries"]:
                    break
                after = page["next"]
        if until is not None:
            assert any(until in entry["event"]["type"] for entry in found), f"no {until} yet"
        return found

    return await eventually(entries)


def hostile_archive(kind: str) -> bytes:
    """A tar that tries something."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as tar:
        _add(tar, tarfile.TarInfo("placet.yaml"), b"apiVersion: placet/v1\n")
        info = tarfile.TarInfo("trick")
        match kind:
            case "traversal":
                _add(tar, tarfile.TarInfo("../../outside"), b"out")
            case "absolute":
                _add(tar, tarfile.TarInfo("/tmp/outside"), b"out")
            case "symlink":
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            case "hardlink":
                info.type, info.linkname = tarfile.LNKTYPE, "placet.yaml"
                tar.addfile(info)
            case "device":
                info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 5
                tar.addfile(info)
            case "bomb":
                _add(tar, tarfile.TarInfo("zeros"), bytes(300 * 1024 * 1024))
    return gzip.compress(body.getvalue(), 6) if kind == "bomb" else body.getvalue()


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, content: bytes) -> None:
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def snapshots(folder: Path, package: str, hostile: str, mended: str) -> Iterator[Path]:
    """Two snapshots of advisories: by the first every version of a package is hostile, by the second none is."""
    for at, versions in ((hostile, [{"introduced": "0"}]), (mended, [])):
        affected = {
            "package": {"ecosystem": "PyPI", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": versions}],
        }
        document = {"id": "MAL-2026-1", "modified": at, "affected": [affected]}
        file = folder / f"advisories-{len(versions)}.zip"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("MAL-2026-1.json", json.dumps(document))
        yield file
