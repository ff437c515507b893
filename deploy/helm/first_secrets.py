"""The Secrets of a first installation with Helm, and what the servers beside it are to be told, as files:

    python deploy/helm/first_secrets.py secrets \\
        --broker amqps://placet.messaging.svc:5671/ \\
        --database 'postgresql://db.example.org:5432/placet?sslmode=verify-full&sslrootcert=/run/trust/ca.pem' \\
        --registry https://registry.example.org

    secrets/secrets.yaml     for `kubectl apply`: a Secret for each service, its keys, and the owner of the tables
    secrets/roles.sql        for `psql`, once, as an administrator of the database
    secrets/rabbitmq.yaml    for `kubectl apply` where RabbitMQ's topology operator makes its users
    secrets/definitions.json for a broker that is told of its users by `load_definitions`
    secrets/htpasswd         for a registry that reads one, with a user `bases` that pushes what models start from
    secrets/passwords.json   all passwords together

It writes into a folder that is not there yet, which nobody else can read. Keep what is in it as a backup is kept, and
not on this machine. Nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from placet.trust import KeySet, SigningKey

sys.path.insert(0, str(Path(__file__).parents[1] / "compose"))

import prepare

DEFINITIONS = Path(__file__).parents[1] / "rabbitmq" / "definitions.json"
MAKES_USERS = {"rabbitmq.com/topology-operator": "true"}
"""By this label the operator finds credentials that are given to it."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the files go: a folder that is not there yet")
    parser.add_argument("--broker", metavar="URL", required=True, help="amqp(s)://host:port/ without a user")
    parser.add_argument(
        "--database", metavar="URL", required=True, help="postgresql://host:port/name?sslmode=…"
    )
    parser.add_argument("--registry", metavar="URL", required=True, help="http(s)://host:port without a user")
    parser.add_argument("--namespace", default="placet", help="where the platform is installed: %(default)s")
    parser.add_argument(
        "--broker-namespace", help="where the broker's objects are; the same, if it is not given"
    )
    parser.add_argument(
        "--provider", action="store_true", help="people sign in with an OpenID Connect provider"
    )
    asked = parser.parse_args(arguments)
    for name, url, schemes in (
        ("--broker", asked.broker, ("amqp", "amqps")),
        ("--database", asked.database, ("postgresql",)),
        ("--registry", asked.registry, ("http", "https")),
    ):
        parts = urlsplit(url)
        if parts.scheme not in schemes or not parts.hostname or parts.username is not None:
            parser.error(f"{name}: {' or '.join(schemes)}://host[:port]… without a user, who is put in here")
    database = urlsplit(asked.database).path.strip("/")
    if not database.replace("_", "").isalnum():
        parser.error("--database: its name has letters, digits and _ alone")
    if asked.folder.exists():
        parser.error(f"{asked.folder} is there: name another, or use what is in it")

    passwords = prepare.new_passwords()
    del passwords["database"][prepare.ADMINISTRATOR]  # is somebody already
    keys = Keys()
    asked.folder.mkdir(parents=True, mode=0o700)
    given = secrets_of(asked, passwords, keys)
    texts = {
        "passwords.json": json.dumps(passwords, indent=1) + "\n",
        "secrets.yaml": manifests(given, asked.namespace),
        "roles.sql": roles(passwords["database"], database),
        "rabbitmq.yaml": manifests(
            {
                f"placet-broker-{name}": {"username": name, "password": passwords["broker"][name]}
                for name in prepare.SERVICES
            },
            asked.broker_namespace or asked.namespace,
            MAKES_USERS,
        ),
        "definitions.json": prepare.definitions(passwords["broker"], DEFINITIONS) + "\n",
        "htpasswd": prepare.htpasswd(passwords["registry"]),
    }
    for name, text in texts.items():
        descriptor = os.open(asked.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    sys.stderr.write(f"{', '.join(sorted(texts))} are in {asked.folder}\n")
    return 0


class Keys:
    """Those that things are signed with, by what: `pem` is for who signs, `told` for who checks."""

    def __init__(self) -> None:
        keys = {what: SigningKey.generate() for what in (*prepare.KEYS, "probe")}
        with tempfile.TemporaryDirectory() as aside:
            for what, key in keys.items():
                key.save(Path(aside) / what)
            self.pem = {what: (Path(aside) / what).read_text(encoding="ascii") for what in keys}
        self.told = {what: KeySet([key.public]).to_json() for what, key in keys.items()}


def secrets_of(
    asked: argparse.Namespace, passwords: prepare.Passwords, keys: Keys
) -> dict[str, dict[str, str]]:
    """By name of the Secret, what is in it: as values.yaml calls both."""
    person_key = secrets.token_urlsafe(48)
    given: dict[str, dict[str, str]] = {}
    for name in prepare.SERVICES:
        role = prepare.role(name)
        own = given[f"placet-{name}"] = {
            "amqp-url": with_user(asked.broker, name, passwords["broker"][name]),
            "database-url": with_user(asked.database, role, passwords["database"][role]),
            "registry-url": with_user(asked.registry, name, passwords["registry"][name]),
        }
        if name in prepare.CHECKS_TOKENS:
            own["tokens.json"] = keys.told["tokens"]
        if asked.provider:
            own["oidc-person-key"] = person_key
    given["placet-deployer"]["certificates.json"] = keys.told["certificates"]
    owner = with_user(asked.database, prepare.OWNER, passwords["database"][prepare.OWNER])
    given["placet-database-owner"] = {"database-url": owner}
    for what, whose in {**prepare.KEYS, "probe": "deployer"}.items():
        given[f"placet-{whose}-keys"] = {f"{what}.pem": keys.pem[what]}
        if what in prepare.KEYS:
            given[f"placet-{whose}-keys"][f"{what}.json"] = keys.told[what]
    return given


def with_user(url: str, name: str, password: str) -> str:
    """Passwords have letters, digits, - and _ alone."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{name}:{password}@{parts.netloc}").geturl()


def manifests(
    given: Mapping[str, Mapping[str, str]], namespace: str, labels: Mapping[str, str] | None = None
) -> str:
    return yaml.safe_dump_all(
        [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "Opaque",
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    **({"labels": dict(labels)} if labels else {}),
                },
                "data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()},
            }
            for name, values in given.items()
        ],
        sort_keys=False,
    )


def roles(passwords: Mapping[str, str], database: str) -> str:
    """For administrators who are no superusers, too, as those of managed servers: they may give schemas away only to
    roles that they are of, and rights on the server's own functions perhaps not at all."""
    lines = ["\\set ON_ERROR_STOP on", "BEGIN;"]
    for statement in prepare.statements(passwords, database=database):
        if "pg_control_system" in statement:
            lines.append(
                f"DO $$ BEGIN {statement}; EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE"
                " 'not granted: a restored backup is then told by --begin-epoch'; END $$;"
            )
            continue
        lines.append(f"{statement};")
        if statement.startswith(f"CREATE ROLE {prepare.OWNER} "):
            lines.append(f"GRANT {prepare.OWNER} TO CURRENT_USER;")
    return "\n".join([*lines, f"REVOKE {prepare.OWNER} FROM CURRENT_USER;", "COMMIT;", ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
