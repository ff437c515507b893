"""Every image that docker-compose.yml starts from, out of Debian's own packages, put into a Docker Engine.

    python deploy/offline/images.py > .env        # all of them, into the engine of this machine or of DOCKER_HOST
    python deploy/offline/images.py postgres      # one, and the line that names it

For sites that can pull nothing. What is printed are the settings by which `docker compose` and `make images` find
them. As with `base_image.py` packages come from this machine's apt sources and none of their scripts is run; the same
packages give the same images. The servers keep to the settings and folders of the images that they stand for, as far as
docker-compose.yml uses those.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import docker
from base_image import ENVIRONMENT, PYTHON
from debian import Contents, run, unpacked, written
from docker.errors import DockerException
from placet.oci import ImageConfig, Platform, sha256_digest

AT_ONCE = 2
"""Images: apt, dpkg and the engine do most of the work."""
SERVERS_USER = 999
"""As in the images that these stand for, so that a volume of one serves the other."""
NOT_FOR_SERVERS = (
    r"adduser|passwd|init-system-helpers|lsb-base|sysvinit-utils|usr-is-merged|usrmerge|libsemanage.*|libsepol.*|ucf"
    r"|libdb5.3|libpam-modules.*|libpam-runtime|libfile-find-rule-perl|libnumber-compare-perl|libtext-glob-perl"
    r"|systemd|systemd-sysv|libsystemd-shared|logrotate|cron.*|anacron|dmsetup|mount|socat|openssl|sensible-utils"
)
# jit needs a compiler of 110 MB, and PostgreSQL does without where its library is not there.
NOT_FOR_POSTGRESQL = (
    r"postgresql-common|postgresql-client-common|ssl-cert|libjson-perl|libllvm.*|libz3.*|locales.*"
)
SHELL = ("dash", "coreutils", "sed", "grep", "hostname", "libc-bin", "libselinux1", "libacl1", "libpcre2-8-0")
"""The last three are what the others link to."""
IS_SH = {"usr/bin/sh": "dash"}
IS_WGET = {"usr/bin/wget": "busybox"}
"""What health checks ask with."""

START_POSTGRESQL = """#!/bin/sh
# As the image of that name does it: a cluster is made where there is none, with the password of the file, and
# a database. What was left half made is begun again.
set -eu
export PATH="/usr/lib/postgresql/MAJOR/bin:$PATH"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA" "$PGDATA.new"
    initdb --pgdata="$PGDATA.new" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 \\
        --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --no-instructions
    echo "host all all all scram-sha-256" >> "$PGDATA.new/pg_hba.conf"
    if [ -n "${POSTGRES_DB:-}" ] && [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA.new" postgres
    fi
    mv "$PGDATA.new" "$PGDATA"
fi
exec "$@"
"""
START_RABBITMQ = """#!/bin/sh
# Debian's own way to it insists on a user and folders of a whole system.
set -eu
export PATH="/usr/lib/rabbitmq/bin:$PATH"
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    setting: str
    """By which docker-compose.yml is told its name."""
    package: str
    """Whose version is its tag."""
    contents: Contents
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = "65532"


def with_python(*more: str) -> Contents:
    return replace(PYTHON, packages=(*PYTHON.packages, "ca-certificates", *more), left_out="openssl")


def postgresql() -> Image:
    major = newest_postgresql()
    binaries = f"usr/lib/postgresql/{major}/bin"
    return Image(
        setting="PLACET_POSTGRES_IMAGE",
        package=f"postgresql-{major}",
        contents=Contents(
            packages=(f"postgresql-{major}", "tzdata", *SHELL),
            left_out=f"{NOT_FOR_SERVERS}|{NOT_FOR_POSTGRESQL}",
            files={"usr/local/bin/start": START_POSTGRESQL.replace("MAJOR", major)},
            links={
                **IS_SH,
                **{f"usr/bin/{each}": f"/{binaries}/{each}" for each in ("postgres", "pg_isready", "psql")},
                **{f"usr/bin/{each}": f"/{binaries}/{each}" for each in ("pg_dump", "pg_restore")},
            },
            folders={"var/lib/postgresql/data": SERVERS_USER, "var/run/postgresql": SERVERS_USER},
            pruned=rf"usr/lib/postgresql/{major}/lib/(bitcode|llvmjit.*)",
            users={"postgres": SERVERS_USER},
        ),
        environment={"PGDATA": "/var/lib/postgresql/data/cluster", "LANG": "C.UTF-8"},
        entrypoint=("/usr/local/bin/start",),
        command=("postgres", "-c", "listen_addresses=*"),
        user="postgres",
    )


def images() -> dict[str, Image]:
    return {
        "python": Image(  # what images of services are made with
            setting="PLACET_PYTHON_IMAGE",
            package="python3.11",
            contents=with_python("python3-pip"),
            environment=ENVIRONMENT,
            command=("python",),
        ),
        "service": Image(  # what they start from
            setting="PLACET_SERVICE_BASE_IMAGE",
            package="python3.11",
            contents=with_python("git"),
            environment=ENVIRONMENT,
            command=("python",),
        ),
        "model": Image(  # what images of models start from
            setting="PLACET_MODEL_BASE_IMAGE",
            package="python3.11",
            contents=PYTHON,
            environment=ENVIRONMENT,
            command=("python",),
        ),
        "rabbitmq": Image(
            setting="PLACET_RABBITMQ_IMAGE",
            package="rabbitmq-server",
            contents=Contents(
                packages=("rabbitmq-server", *SHELL),
                left_out=NOT_FOR_SERVERS,
                files={"usr/local/bin/start": START_RABBITMQ},
                links=IS_SH,
                folders=dict.fromkeys(
                    ("var/lib/rabbitmq", "var/lib/rabbitmq/mnesia", "var/log/rabbitmq"), SERVERS_USER
                ),
                users={"rabbitmq": SERVERS_USER},
            ),
            environment={
                "HOME": "/var/lib/rabbitmq",
                "LANG": "C.UTF-8",
                "PATH": "/usr/lib/rabbitmq/bin:/usr/bin:/bin",
                "RABBITMQ_LOGS": "-",
            },
            entrypoint=("/usr/local/bin/start",),
            command=("rabbitmq-server",),
            user="rabbitmq",
        ),
        "postgres": postgresql(),
        "registry": Image(
            setting="PLACET_REGISTRY_IMAGE",
            package="docker-registry",
            contents=Contents(
                packages=("docker-registry", "busybox"),
                left_out=NOT_FOR_SERVERS,
                links=IS_WGET,
                folders={"var/lib/registry": 65532},
            ),
            environment={"PATH": "/usr/bin:/bin", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/var/lib/registry"},
            entrypoint=("docker-registry", "serve"),
            command=("/etc/docker/registry/config.yml",),
        ),
        "caddy": Image(
            setting="PLACET_CADDY_IMAGE",
            package="caddy",
            contents=Contents(
                packages=("caddy", "busybox", "ca-certificates"),
                left_out=f"{NOT_FOR_SERVERS}|libnss.*|libnspr.*|libsqlite.*",
                links=IS_WGET,
                folders={"config": 65532, "data": 65532},
            ),
            environment={"PATH": "/usr/bin:/bin", "XDG_CONFIG_HOME": "/config", "XDG_DATA_HOME": "/data"},
            command=("caddy", "run"),
        ),
        "haproxy": Image(
            setting="PLACET_HAPROXY_IMAGE",
            package="haproxy",
            contents=Contents(
                packages=("haproxy", "libpcre2-8-0", "busybox"),
                left_out=NOT_FOR_SERVERS,
                links={**IS_WGET, "usr/local/sbin/haproxy": "/usr/sbin/haproxy"},
            ),
            environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            command=("haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
        ),
        "prometheus": Image(
            setting="PLACET_PROMETHEUS_IMAGE",
            package="prometheus",
            contents=Contents(
                packages=("prometheus", "busybox"),
                left_out=NOT_FOR_SERVERS,
                links=IS_WGET,
                folders={"prometheus": 65532},
            ),
            environment={"PATH": "/usr/bin:/bin"},
            command=("prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
        ),
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    known = images()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("image", nargs="*", metavar="IMAGE", help=f"of {', '.join(known)} (all)")
    parser.add_argument("--prefix", default="placet-offline-", help="before each image's name (%(default)s)")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.image) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        with closing(docker.from_env(timeout=600)) as client, ThreadPoolExecutor(AT_ONCE) as makers:
            names = asked.image or list(known)
            put = makers.map(lambda name: loaded(client, known[name], f"{asked.prefix}{name}"), names)
            for name, tagged in zip(names, put, strict=True):
                sys.stdout.write(f"{known[name].setting}={tagged}\n")
                sys.stdout.flush()
    except DockerException as error:
        sys.stderr.write(f"the Docker Engine: {error}\n  fix: start one, or name it with DOCKER_HOST\n")
        return 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        sys.stderr.write(f"{' '.join(map(str, error.cmd))} failed: {said}\n")
        return 1
    return 0


def loaded(client: docker.DockerClient, image: Image, name: str) -> str:
    """The image's name with its tag; the engine has it then."""
    with tempfile.TemporaryDirectory(prefix="placet-offline-") as scratch:
        layer = Path(scratch) / "layer.tar"
        diff_id = written(image.contents, unpacked(image.contents, Path(scratch)), layer)
        config = ImageConfig(
            platform=Platform(os="linux", architecture=run("dpkg", "--print-architecture").strip()),
            diff_ids=(diff_id,),
            env=image.environment,
            entrypoint=image.entrypoint,
            cmd=image.command,
            user=image.user,
            history=("Debian packages",),
        )
        tag = version_of(image.package)
        archive = Path(scratch) / "image.tar"
        packed(archive, config, layer, f"{name}:{tag}")
        with archive.open("rb") as content:
            client.images.load(content)
    return f"{name}:{tag}"


def packed(archive: Path, config: ImageConfig, layer: Path, name: str) -> None:
    """As `docker save` writes it, which every engine loads."""
    encoded = config.encode()
    configured = f"{sha256_digest(encoded).partition(':')[2]}.json"
    index = json.dumps([{"Config": configured, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(archive, "w") as into:
        for member, content in (("manifest.json", index), (configured, encoded)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            into.addfile(info, io.BytesIO(content))
        into.add(layer, "layer.tar")


def version_of(package: str) -> str:
    """What apt would install, as its makers number it: without the distribution's own part."""
    said = run("apt-cache", "policy", package)
    (candidate,) = re.findall(r"^ +Candidate: (?:\d+:)?([\w.]+)", said, re.MULTILINE)
    return str(candidate)


def newest_postgresql() -> str:
    said = run("apt-cache", "depends", "--important", "postgresql")
    (major,) = re.findall(r"^ +Depends: postgresql-(\d+)$", said, re.MULTILINE)
    return str(major)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
