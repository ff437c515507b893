"""`placet check`: the shipped rules, asked on this machine."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from placet.projects import dump_manifest, pack, trial_manifest
from placet.rules import Policy, load_shipped, read_policy

from tests.unit.cli.conftest import EXAMPLE, Placet
from tests.unit.client.fake_platform import FakePlatform

MLFLOW = Path(__file__).parents[2] / "mlflow_folders"


BUILT = "image.built-from-cleared-source, image.labels-complete, image.base-known, image.contents-known"
ADVISED = "advisories.none-hostile, advisories.none-severe"


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


def test_a_good_project_would_be_cleared_by_every_rule_and_nothing_is_sent(
    placet: Placet, platform: FakePlatform
) -> None:
    ended = placet("check", str(EXAMPLE), "--json")
    assert ended.status == 0, ended.err
    assert ended.document["state"] == "cleared"
    assert ended.document["project"] == "multiclass"
    rules = {
        rule.id
        for policy in load_shipped()
        for rule in policy.rules
        if rule.stage == "submit" and policy.applies_to in (None, "!governance.trial")
    }
    assert {verdict["rule"] for verdict in ended.document["verdicts"]} == rules
    assert {verdict["result"] for verdict in ended.document["verdicts"]} == {"pass"}
    assert platform.requests == [("GET", "/v1/policies"), ("GET", "/v1/capacity")]


def test_a_platform_is_asked_for_room_and_what_it_never_has_is_refused_in_its_words(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    manifest = (project / "placet.yaml").read_text()
    (project / "placet.yaml").write_text(manifest.replace("gpu: 0", "gpu: 2"))
    never = {
        "why": "wine asks for 2 GPUs, and this platform has none",
        "fix": "ask for less",
        "isLasting": True,
    }
    now = {"why": "0.5 CPU is free", "fix": "stop one of: fraud", "isLasting": False}
    platform.no_room = [never, now]
    refused = placet("check", str(project), "--json")
    platform.no_room = [now]
    for_now = placet("check", str(project), "--json")
    platform.no_room = []
    platform.policies = [version(policy) for policy in load_shipped()]
    taken = placet("check", str(project), "--json")

    asked = {"project": "wine", "cpuMillis": "500", "memoryBytes": str(2**29), "gpus": "2", "dockerfile": "0"}
    assert dict(platform.searches[0]) == asked
    assert [ended.status for ended in (refused, for_now, taken)] == [1, 0, 0]
    assert refused.document["refusals"] == [{"rule": None, "why": never["why"], "fix": "ask for less"}]
    assert {"rule": None, "why": now["why"], "fix": now["fix"]} in for_now.document["warnings"]
    assert taken.document["leftToThePlatform"] == [
        "whether its package index has what the requirements ask for (UV_OFFLINE is set)",
        f"what {BUILT}, licences.allowed, {ADVISED} say of the image that is built",
    ]


HOUSE = """\
apiVersion: placet/v1
kind: Policy
id: house.small
version: 1
title: Small
owner: compliance
supersedes: placet.accountability
given: {}
rules:
  - id: house.no-gpu
    title: No GPU
    citations: []
    stage: submit
    onFail: deny
    require: resources.gpu == 0
    say: it asks for a GPU
    fix: ask for none
"""


def version(policy: Policy, state: str = "in-force") -> dict[str, Any]:
    """As the platform lists it."""
    said = {"policy": policy.id, "version": policy.version, "digest": policy.digest, "state": state}
    return said | {"title": policy.title, "owner": policy.owner, "shipped": True}


def test_a_platform_judges_by_what_is_in_force_there_and_so_does_check(
    placet: Placet, platform: FakePlatform, project: Path
) -> None:
    manifest = (project / "placet.yaml").read_text()
    assert "purpose:" in manifest
    (project / "placet.yaml").write_text(
        manifest.replace("gpu: 0", "gpu: 1").replace("purpose:", "# purpose:")
    )
    house = read_policy(HOUSE.encode())
    retired = next(
        policy
        for policy in load_shipped()
        if "governance.purpose-stated" in {rule.id for rule in policy.rules}
    )
    here = placet("check", str(project), "--offline", "--json")
    platform.policies = [
        version(policy, "superseded" if policy == retired else "in-force") for policy in load_shipped()
    ]
    platform.policies += [version(house), version(house, "scheduled") | {"digest": "sha256:0"}]
    platform.policy_files = {house.digest: HOUSE}
    there = placet("check", str(project), "--json")
    platform.policy_files = {house.digest: HOUSE.replace("gpu == 0", "gpu >= 0")}
    forged = placet("check", str(project), "--json")

    assert [each["rule"] for each in here.document["refusals"]] == ["governance.purpose-stated"]
    assert "whether other policies than those that ship are in force (--offline was given)" in here.err
    assert [each["rule"] for each in there.document["refusals"]] == ["house.no-gpu"]
    assert "other policies" not in there.err
    assert not {rule.id for rule in retired.rules} & {each["rule"] for each in there.document["verdicts"]}
    assert f"the policy {house.digest} came as sha256:" in forged.err, (
        "what is in force is known by its digest"
    )


def test_a_platform_that_is_not_asked_or_does_not_answer_says_nothing_against_a_project(
    placet: Placet, platform: FakePlatform, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.no_room = [{"why": "never", "fix": None, "isLasting": True}]
    offline = placet("check", str(project), "--offline")
    monkeypatch.setenv("PLACET_TOKEN", "stranger")
    unknown = placet("check", str(project))
    monkeypatch.setenv("PLACET_URL", "http://127.0.0.1:9")
    away = placet("check", str(project))
    monkeypatch.delenv("PLACET_URL")
    none = placet("check", str(project))
    room = "whether it has room for 500m CPU, 512Mi of memory"
    assert f"{room} (--offline was given)" in offline.err
    assert f"{room} (no valid token)" in unknown.err
    assert f"{room} (nothing answers at http://127.0.0.1:9" in away.err
    assert f"{room} (no platform is known here)" in none.err
    assert [ended.status for ended in (offline, unknown, away, none)] == [0, 0, 0, 0]


def test_what_the_platform_alone_can_allow_is_said_and_refuses_nothing_here(
    placet: Placet, project: Path
) -> None:
    (project / "Dockerfile").write_text(f"FROM python@sha256:{'a' * 64}\n")
    stray = placet("check", str(project), "--json")
    with (project / "placet.yaml").open("a") as manifest:
        manifest.write("\nbuild: {dockerfile: Dockerfile}\n")
    used = placet("check", str(project), "--json")

    assert (stray.status, used.status) == (0, 0), used.err
    assert "has a Dockerfile that is not used" in stray.err
    assert "which not every platform allows" in used.err
    assert "has a Dockerfile that is not used" not in used.err


def test_the_digest_is_the_one_the_platform_would_know_it_by(placet: Placet, platform: FakePlatform) -> None:
    checked = placet("check", str(EXAMPLE), "--json").document
    assert checked["source"] == placet("deploy", str(EXAMPLE), "--json").document["source"]


def test_what_only_people_know_is_asked_for_by_rule_with_the_next_step(placet: Placet, bare: Path) -> None:
    ended = placet("check", str(bare), "--json")
    assert ended.status == 1
    assert ended.document["state"] == "refused"
    for refusal in ended.document["refusals"]:
        assert refusal["rule"]
        assert refusal["why"]
        assert refusal["fix"]
    assert any("owner" in refusal["rule"] for refusal in ended.document["refusals"])


def test_a_hostile_pickle_is_refused_and_never_loaded(placet: Placet, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(EXAMPLE, folder)
    (folder / "model.skops").unlink()
    (folder / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    manifest = folder / "placet.yaml"
    manifest.write_text(manifest.read_text().replace("model.skops", "model.pkl"))
    ended = placet("check", str(folder), "--json")
    assert ended.status == 1
    assert any("pickle" in refusal["rule"] for refusal in ended.document["refusals"])


def test_names_that_a_long_list_leaves_out_are_told_when_asked_for(placet: Placet, project: Path) -> None:
    names = [f"module.Name{number:02}" for number in range(12)]
    calls = b"".join(b"c" + name.replace(".", "\n").encode() + b"\n0" for name in names)
    (project / "extra.pkl").write_bytes(b"\x80\x02" + calls + b"N.")
    short, whole = placet("check", str(project)), placet("check", str(project), "--verbose")
    assert f"{names[7]} and 4 more, which nobody has listed" in short.err
    assert "--verbose names all that is cut short here" in short.err
    assert f"{', '.join(names)}, which nobody has listed" in whole.err
    assert "--verbose" not in whole.err


def test_what_no_writing_mends_is_told_first(placet: Placet, bare: Path) -> None:
    (bare / "model.skops").unlink()
    refusals = placet("check", str(bare), "--json").document["refusals"]
    assert refusals[0]["rule"] == "model.file-matches"
    assert any(each["rule"].startswith("governance.") for each in refusals[1:])


def test_ten_faults_are_told_in_one_list(placet: Placet, tmp_path: Path) -> None:
    """Each of them would be found by another part of the platform, one deploy after the other."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "faulty"))
    manifest = (folder / "placet.yaml").read_text()
    for said, instead in (
        ("riskClass:", "# riskClass:"),
        ("card: README.md", "card: CARD.md"),
        ("sample: sample.json", "sample: sample.json, reference: reference.csv"),
    ):
        assert said in manifest
        manifest = manifest.replace(said, instead)
    (folder / "placet.yaml").write_text(manifest)
    (folder / "README.md").rename(folder / "readme.txt")
    (folder / "README.txt").write_text("")
    (folder / "sample.json").write_text('{"request": {"rows": []}}')
    (folder / "requirements.txt").write_text(
        "numpy\n--index-url x\nskops @ https://host/skops.whl\nscikit-learn==1.8.0\nscikit_learn==1.9.1\n"
    )
    (folder / "extra.pkl").write_bytes(pickle.dumps(Hostile()))
    (folder / "weights.bin").symlink_to("/etc/passwd")

    ended = placet("check", str(folder), "--json")

    told = "\n".join(f"{refusal['rule']}: {refusal['why']}" for refusal in ended.document["refusals"])
    for fault in (
        "weights.bin is a symbolic link",
        "'readme.txt' differs from README.txt only in upper and lower case",
        "declares no risk class",
        "there is no file CARD.md",
        "reach for posix.system",
        "its request has no `inputs`",
        "has no `response`",
        "there is no file reference.csv",
        "no single version for numpy",
        "has in line 2 is no `name==version`",
        "skops, by an address or a file, scikit-learn in 2 versions",
    ):
        assert fault in told
    assert (ended.status, ended.document["state"]) == (1, "refused")
    assert all(
        refusal["fix"] for refusal in ended.document["refusals"] if refusal["rule"] != "source.safe-archive"
    )


def test_every_mistake_in_a_manifest_is_named(placet: Placet, project: Path) -> None:
    (project / "placet.yaml").write_text("apiVersion: placet/v1\nprojekt: wine\nmodel: {format: sklearn}\n")
    ended = placet("check", str(project), "--json")
    assert ended.status == 1
    said = " ".join(f"{refusal['why']} {refusal['fix']}" for refusal in ended.document["refusals"])
    assert len(ended.document["refusals"]) >= 2
    assert "projekt" in said
    assert "project" in said
    assert "model.path" in said


def test_a_manifest_with_mistakes_hides_no_file_that_cannot_be_sent(placet: Placet, project: Path) -> None:
    (project / "placet.yaml").write_text("apiVersion: placet/v1\nproject: wine\nmodel: {format: sklearn}\n")
    (project / "weights.bin").symlink_to("/etc/passwd")
    told = [each["why"] for each in placet("check", str(project), "--json").document["refusals"]]
    assert told[:2] == [
        "placet.yaml, model.path: is missing",
        "weights.bin is a symbolic link, and links are not packed",
    ]


def test_mistakes_in_a_manifest_hide_nothing_that_the_rules_would_find(
    placet: Placet, platform: FakePlatform, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "faulty"))
    (folder / "placet.yaml").write_text(
        "apiVersion: placet/v1\nproject: Multi_Class\n"
        "model: {format: scikit, path: model.skops, sampel: sample.json}\n"
        "requirements: requirements.txt\nresources: {cpu: 0}\n"
        "gouvernance:\n  riskClass: extreme\n  owner: ada\n"
        "  data:\n    - {name: optdigits, licence: 5, personalData: false}\n"
        "access: everybody\ncard: CARD.md\n"
    )
    (folder / "requirements.txt").write_text("numpy\nscikit-learn==1.2.0\n")
    (folder / "sample.json").write_text('{"request": {"inputs": [[1]]}}')
    (folder / "extra.pkl").write_bytes(pickle.dumps(Hostile()))

    ended = placet("check", str(folder), "--json")

    told = [(each["rule"], each["why"]) for each in ended.document["refusals"]]
    assert [why.partition(":")[0] for rule, why in told if rule is None] == [
        *("placet.yaml, gouvernance", "placet.yaml, project", "placet.yaml, model.sampel"),
        *("placet.yaml, gouvernance.riskClass", "placet.yaml, gouvernance.owner"),
        *("placet.yaml, gouvernance.data[0].licence", "placet.yaml, access", "placet.yaml, resources.cpu"),
    ]
    # Neither of the owner nor of the risk class, which are there, and are told already; the licence lacks nowhere.
    assert [rule for rule, _ in told if rule is not None] == [
        *("model.format-allowed", "model.file-matches", "model.no-hostile-pickle", "model.sample-present"),
        *("build.requirements-pinned", "governance.purpose-stated", "governance.card-readable"),
        "governance.data-declared",
    ]
    whys = "\n".join(why for _, why in told)
    assert (
        "no single version for numpy; requirements.txt asks for what no build takes: scikit-learn==1.2.0"
        in whys
    )
    assert "has no `response`" in whys
    assert "it is not said where optdigits comes from" in whys
    assert "under which licence" not in whys
    assert placet("deploy", str(folder), "--json").document["refusals"] == ended.document["refusals"]


def test_of_what_is_no_yaml_the_files_are_judged_all_the_same(placet: Placet, project: Path) -> None:
    (project / "placet.yaml").write_text("model: [\n")
    (project / "extra.pkl").write_bytes(pickle.dumps(Hostile()))
    told = placet("check", str(project), "--json").document["refusals"]
    assert [each["rule"] for each in told] == [None, "model.no-hostile-pickle"]


def test_a_folder_without_a_manifest_is_told_about_init(placet: Placet, tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    for _ in range(2):  # an empty one, and one with a file
        ended = placet("check", str(folder))
        assert ended.status == 1
        assert ended.err == (
            f"placet: {folder} would be refused\n"
            f"  {folder} has no placet.yaml\n"
            f"    fix: `placet init '{folder}'` writes one\n"
        )
        (folder / "model.bin").write_bytes(b"?")
    assert placet("check", str(tmp_path / "nowhere")).status == 2


def test_a_manifest_that_is_ignored_is_told_from_one_that_is_missing(placet: Placet, project: Path) -> None:
    (project / ".placetignore").write_text("*.yaml\n")
    ended = placet("check", str(project))
    assert ended.status == 1
    assert ".placetignore leaves placet.yaml out" in ended.err


@pytest.mark.parametrize("verb", ["deploy", "build"])
@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("project:", "projekt:"),
        ("riskClass: minimal", "riskClass: none"),
        ("riskClass:", "# riskClass:"),
        ("card: README.md", "card: CARD.md"),
        ("{format: sklearn,", "{format: [sklearn,"),
    ],
)
def test_what_check_refuses_is_refused_before_it_is_sent_and_in_the_same_words(
    placet: Placet, platform: FakePlatform, project: Path, verb: str, said: str, instead: str
) -> None:
    manifest = project / "placet.yaml"
    text = manifest.read_text()
    assert said in text
    manifest.write_text(text.replace(said, instead))
    checked = placet("check", str(project), "--json")
    ended = placet(verb, str(project), "--json")
    assert checked.status == ended.status == 1
    assert ended.document["state"] == "refused"
    assert ended.document["refusals"] == checked.document["refusals"] != []
    assert ended.document["verdicts"] == checked.document["verdicts"]
    told = checked.err.split("would be refused\n")[1].partition("what only the platform can say:")[0]
    assert told == ended.err.split("is refused\n")[1]
    # Which of them waits is told, too, and what is published may take the place of a rule that ships.
    paths = ("/v1/me", "/v1/models/wine/exceptions", "/v1/policies", "/v1/capacity")
    asked = {("GET", path) for path in paths}
    assert set(platform.requests) <= asked


@pytest.fixture
def written_by_mlflow(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MLFLOW / "iris", tmp_path / "Iris Pipeline"))


def test_a_folder_of_mlflow_needs_no_manifest_to_be_tried(placet: Placet, written_by_mlflow: Path) -> None:
    ended = placet("check", str(written_by_mlflow), "--json")
    assert ended.status == 0, ended.err
    assert (ended.document["state"], ended.document["project"]) == ("cleared", "iris-pipeline")
    rules = {verdict["rule"] for verdict in ended.document["verdicts"]}
    assert "trial.confined" in rules
    assert "governance.owner-named" not in rules
    assert (
        f"as a trial, for some days, since it has no placet.yaml; `placet init '{written_by_mlflow}'`"
        in ended.err
    )
    assert not (written_by_mlflow / "placet.yaml").exists()


def test_what_is_sent_of_a_folder_of_mlflow_holds_the_manifest_of_a_trial(
    placet: Placet, platform: FakePlatform, written_by_mlflow: Path, tmp_path: Path
) -> None:
    checked = placet("check", str(written_by_mlflow), "--json").document
    ended = placet("deploy", str(written_by_mlflow), "--json")
    assert ended.document["source"] == checked["source"]
    made = trial_manifest(written_by_mlflow)
    assert made is not None
    (written_by_mlflow / "placet.yaml").write_text(dump_manifest(made))
    assert pack(written_by_mlflow, tmp_path / "own.tar").digest == checked["source"]


def test_init_makes_a_project_of_a_folder_of_mlflow(placet: Placet, written_by_mlflow: Path) -> None:
    ended = placet("init", str(written_by_mlflow))
    assert ended.err.startswith("iris-pipeline: an mlflow model in .\n")
    refused = placet("check", str(written_by_mlflow), "--json").document
    assert {refusal["rule"].split(".")[0] for refusal in refused["refusals"]} == {"governance", "model"}
    assert "model.sample-present" in {refusal["rule"] for refusal in refused["refusals"]}


def test_a_folder_of_mlflow_that_cannot_be_served_is_told_why(
    placet: Placet, written_by_mlflow: Path
) -> None:
    (written_by_mlflow / "MLmodel").write_text("flavors: {sklearn: {pickled_model: ../model.skops}}")
    for verb in ("check", "init"):
        ended = placet(verb, str(written_by_mlflow))
        assert ended.status == 1
        assert "flavors.sklearn.pickled_model: '../model.skops' is not a path inside" in ended.err
