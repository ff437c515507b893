"""The images of the six services, built as `make images` does from bases that nobody has to pull, in a real engine.

They are looked at where docker-compose.yml is booted with them: the tests of one file are in one process, and images
take minutes to build.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.deploy.images_of_services import OFFLINE, RESTRICTED, Images, asking
from tests.support.servers import DockerEngine
from tools import workspace

# But for what loads models, which come with packages of their own.
IMPORT_ALL = """
import importlib, os, pathlib
found = sorted(pathlib.Path("/usr/lib/placet/own/placet").rglob("*.py"))
for path in found:
    parts = path.relative_to("/usr/lib/placet/own").with_suffix("").parts
    if path.name not in ("__main__.py", "compile_files.py") and parts[:3] != ("placet", "runtime", "formats"):
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
print(len(found), os.getuid(), os.getgid())
"""
NOT_DEBIANS = {"PLACET_GRAFANA_IMAGE", "PLACET_JAEGER_IMAGE"}
"""Of the profile `observability`: Debian has no package of them."""
TELL = "import json, shutil; print(json.dumps([each for each in {names!r} if shutil.which(each)]))"


@pytest.mark.parametrize("service", workspace.SERVICES)
class EachImage:
    def test_it_runs_as_nobody_with_nothing_to_write_to(self, images: Images, service: str) -> None:
        said = images.said(service, "-m", f"placet.{service}", "--help-settings")
        assert "PLACET_DATABASE_URL" in said

    def test_a_setting_that_is_missing_ends_it_with_its_name(self, images: Images, service: str) -> None:
        running = images.client.containers.run(images.name(service), detach=True, **RESTRICTED)
        try:
            assert running.wait(timeout=300)["StatusCode"] == 2
            assert b"PLACET_AMQP_URL: is not set" in running.logs()
        finally:
            running.remove(force=True)

    def test_all_that_it_has_of_placet_can_be_imported(self, images: Images, service: str) -> None:
        count, *ids = images.said(service, "-c", IMPORT_ALL).split()
        assert int(count) > 50
        assert ids == ["65532", "65532"]

    def test_it_has_no_shell_and_nothing_that_installs(self, images: Images, service: str) -> None:
        names = ["sh", "bash", "dash", "pip", "pip3", "apt-get", "dpkg", "git", "prlimit"]
        there = set(json.loads(images.said(service, "-c", TELL.format(names=names))))
        assert there <= {"git", "prlimit"}
        files = images.files(service)
        programs = {name for name in files if name.startswith("placet/packages/bin/")}
        assert programs == ({"placet/packages/bin/uv"} if service == "builder" else set())
        assert not {name for name in files if name.endswith(("pip.conf", "ca.pem", "direct_url.json"))}
        assert "placet/tools" not in files

    def test_it_says_what_it_is_made_of(self, images: Images, service: str) -> None:
        with images.created(service) as container:
            stream, _ = container.get_archive("/usr/lib/placet/sbom.cdx.json")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                content = archive.extractfile("sbom.cdx.json")
                assert content is not None
                bill = content.read().decode()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
        purls = {each["purl"].partition("@")[0] for each in json.loads(bill)["components"]}
        own = {f"pkg:pypi/{package.name}" for package in workspace.closure(f"placet-{service}")}
        assert {purl for purl in purls if purl.startswith("pkg:pypi/placet-")} == own
        assert {"pkg:pypi/sqlalchemy", "pkg:deb/debian/libc6", "pkg:deb/debian/git"} <= purls

    def test_its_labels_say_which_commit_it_is_of(self, images: Images, service: str) -> None:
        labels = images.client.images.get(images.name(service)).labels
        assert labels["org.opencontainers.image.title"] == f"placet-{service}"
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=workspace.ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        assert labels["org.opencontainers.image.revision"].removesuffix("-changed") == head


class AllImages:
    def test_the_same_files_are_made_again(self, images: Images) -> None:
        """Of one that has compiled packages, on an engine that remembers nothing of the last time; and what is shared
        is made anew once."""
        images.build("indexer", "metadata", tag="two", anew=True)
        assert images.files("indexer", "two") == images.files("indexer")
        self.shared(images, "two", "indexer", "metadata")
        base = len(images.client.api.history(images.bases["PLACET_SERVICE_BASE_IMAGE"]))
        for each in ("indexer", "metadata"):
            one, two = (
                [step["Created"] for step in images.client.api.history(images.name(each, tag))]
                for tag in ("one", "two")
            )
            assert min(two[:-base]) > max(one), "the last come first"

    def test_what_all_need_is_one_layer_of_all(self, images: Images) -> None:
        self.shared(images, "one", *workspace.SERVICES)

    @staticmethod
    def shared(images: Images, tag: str, *services: str) -> tuple[str, ...]:
        """The layers of the base, and the one on it, which these have in common."""

        def layers(name: str) -> list[str]:
            found: list[str] = images.client.images.get(name).attrs["RootFS"]["Layers"]
            return found

        base = layers(images.bases["PLACET_SERVICE_BASE_IMAGE"])
        (begin,) = {tuple(layers(images.name(each, tag))[: len(base) + 1]) for each in services}
        assert list(begin[:-1]) == base
        return begin

    def test_what_is_not_a_service_is_told(self, images: Images) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tools.images", "gatekeeper"],
            cwd=workspace.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert "gateway" in done.stderr


class OfflineImages:
    """What a site has that can pull nothing: `deploy/offline/images.py`."""

    def test_there_is_one_for_each_that_the_compose_file_asks_for(self, images: Images) -> None:
        file = (workspace.ROOT / "docker-compose.yml").read_text()
        asked = set(re.findall(r"\$\{(PLACET_\w+_IMAGE):-", file))
        assert images.bases.keys() == asked - NOT_DEBIANS
        for name in images.bases.values():
            assert images.client.images.get(name).attrs["Config"]["User"] in ("65532", "postgres", "rabbitmq")

    def test_the_same_packages_give_the_same_image(self, images: Images) -> None:
        name = images.bases["PLACET_HAPROXY_IMAGE"]
        before = images.client.images.get(name).id
        assert self.made(images.engine, "haproxy") == f"PLACET_HAPROXY_IMAGE={name}\n"
        assert images.client.images.get(name).id == before

    def test_what_is_none_is_told_with_what_there_is(self, images: Images) -> None:
        assert "there are python, service, model, " in self.made(images.engine, "nginx", status=2)

    def test_an_engine_that_is_away_is_told(self, images: Images, tmp_path: Path) -> None:
        nowhere = replace(images.engine, address=f"unix://{tmp_path}/nobody.sock")
        assert "DOCKER_HOST" in self.made(nowhere, "haproxy", status=1)

    def made(self, engine: DockerEngine, *names: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, str(OFFLINE), *names],
            env=asking(engine),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout
