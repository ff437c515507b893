"""What the containers of docker-compose.yml are given before they start: secrets, and roles in the database.

    python3 prepare.py secrets                   # what is not there yet, a folder for each of them
    python3 prepare.py secrets --renew builder   # another password for one service, or for `nodes`, everywhere
    python3 prepare.py roles                     # in PostgreSQL: who owns the tables, and who works with them
    python3 prepare.py backup volumes.tar        # what must not be lost and is in no database
    python3 prepare.py restore volumes.tar       # into empty volumes

Each may be run again, and changes nothing that is there. The folders are volumes, of which each container has its own
alone; only what is needed for making them, the passwords in one place, is kept beside, for this program.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import sys
import tarfile
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path

import asyncpg
from placet.trust import KeySet, SigningKey

SERVICES = ("gateway", "certifier", "builder", "indexer", "deployer", "metadata")
ROOT = Path(os.environ.get("PLACET_PREPARED") or "/")
SECRETS = ROOT / "secrets"
VOLUMES = ROOT / "volumes"
"""Those that are to be the services' user's, and were made as root's."""
DEFINITIONS = Path(__file__).with_name("definitions.json")
USER = 65532
DATABASE = "placet"
OWNER = "placet_owner"
ADMINISTRATOR = "postgres"
PUSHES_BASES = "bases"
PULLS = "nodes"
"""Of a cluster, with the profile `kubernetes`: one user for all of them."""
WATCHES = "admin"
"""Of Grafana."""
AMQP = "amqp://{name}:{password}@rabbitmq:5672/"
POSTGRESQL = "postgresql://{name}:{password}@postgres:5432/" + DATABASE
REGISTRY = "http://{name}:{password}@registry:5000"
KEYS = {"certificates": "certifier", "checkpoints": "metadata", "tokens": "gateway"}
"""What is signed, and who signs it."""
CHECKS_TOKENS = ("certifier", "builder", "indexer", "deployer", "metadata")
BACKED_UP = (*(SECRETS / each for each in ("setup", *dict.fromkeys(KEYS.values()))), VOLUMES / "registry")
UPLOADS = "_uploads"
"""Of the registry: what is on its way, and is sent again."""
BCRYPT_COST = 5
"""The least that there is: these passwords cannot be guessed, and the registry checks one with each request."""

Passwords = dict[str, dict[str, str]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("secrets", help="make what is not there yet")
    making.add_argument(
        "--renew", metavar="SERVICE", choices=(*SERVICES, PULLS), help="another password for it"
    )
    verbs.add_parser("roles", help="make the database's roles, or give them their passwords")
    backing_up = verbs.add_parser("backup", help="write keys, passwords and the registry into a tar")
    restoring = verbs.add_parser("restore", help="read that into volumes that are empty")
    restoring.add_argument(
        "--registry", action="store_true", help="the registry alone, into the platform that is here"
    )
    for each in (backing_up, restoring):
        each.add_argument("file", metavar="FILE", type=Path)
    asked = parser.parse_args(arguments)
    match asked.verb:
        case "secrets":
            make_secrets(asked.renew)
        case "roles":
            asyncio.run(make_roles(known_passwords()))
        case "backup":
            back_up(asked.file)
        case "restore":
            restore(asked.file, registry=asked.registry)
    return 0


def make_secrets(renew: str | None = None) -> None:
    passwords = new_passwords(known_passwords(), renew)
    # First, so that nobody is given what nobody remembers.
    write(SECRETS / "setup" / "passwords.json", json.dumps(passwords, indent=1), of=0)

    for name in SERVICES:
        folder = SECRETS / name
        broker, registry = passwords["broker"][name], passwords["registry"][name]
        write(folder / "amqp-url", AMQP.format(name=name, password=broker))
        write(
            folder / "database-url",
            POSTGRESQL.format(name=role(name), password=passwords["database"][role(name)]),
        )
        write(folder / "registry-url", REGISTRY.format(name=name, password=registry))
    write(
        SECRETS / "owner" / "database-url",
        POSTGRESQL.format(name=OWNER, password=passwords["database"][OWNER]),
    )
    write(
        SECRETS / "base" / "registry-url",
        REGISTRY.format(name=PUSHES_BASES, password=passwords["registry"][PUSHES_BASES]),
        of=0,
    )
    write(SECRETS / "grafana" / "password", passwords["grafana"][WATCHES])
    write(SECRETS / "nodes" / "password", passwords["registry"][PULLS])
    make_keys()

    # Each server runs as whom its image says, and is alone with its folder.
    write(SECRETS / "postgres" / "password", passwords["database"][ADMINISTRATOR], mode=0o444)
    write(SECRETS / "rabbitmq" / "definitions.json", definitions(passwords["broker"]), mode=0o444)
    write(SECRETS / "registry" / "htpasswd", htpasswd(passwords["registry"]), mode=0o444)
    for volume in VOLUMES.iterdir():
        os.chown(volume, USER, USER)


def back_up(file: Path) -> None:
    """While the platform runs: what the registry keeps is there whole or not at all. Raises SystemExit where it cannot
    be written."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SystemExit(f"{file} is there already; name another file") from None
    except OSError as error:
        raise SystemExit(f"nothing was backed up: {error}") from None
    try:
        with os.fdopen(descriptor, "wb") as to, tarfile.open(fileobj=to, mode="w|") as tar:
            for folder in BACKED_UP:
                for path in (folder, *sorted(folder.rglob("*"))):
                    if UPLOADS not in path.parts:
                        tar.add(path, path.relative_to(ROOT).as_posix(), recursive=False)
    except OSError as error:
        file.unlink()  # half of it is no backup
        raise SystemExit(f"nothing was backed up: {error}") from None


def restore(source: Path, *, registry: bool = False) -> None:
    """With the owners and rights that they had. Raises SystemExit where a platform has its secrets here, unless it is
    the registry alone that is wanted, which keeps what it has besides."""
    if known_passwords() and not registry:
        raise SystemExit(
            "the secrets of a platform are here already, and would be lost: nothing was restored"
            "\n  fix: `docker compose down --volumes`, if nothing of it is needed; or another PLACET_NAME"
        )
    with tarfile.open(source) as tar:
        for member in tar:
            path = ROOT / member.name
            if not any(path.is_relative_to(folder) for folder in BACKED_UP) or ".." in path.parts:
                raise SystemExit(f"{member.name} is nothing that was backed up here")
            if registry and not path.is_relative_to(VOLUMES):
                continue
            content = tar.extractfile(member)
            if member.isdir():
                path.mkdir(exist_ok=True)
            elif content is not None and member.isfile():
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)
            else:
                raise SystemExit(f"{member.name} is neither a file nor a folder")
            os.chown(path, member.uid, member.gid)
            path.chmod(member.mode)


def new_passwords(known: Passwords | None = None, renew: str | None = None) -> Passwords:
    """Those that are known, but for one service's, and those that are missing."""
    passwords = {kind: dict(kept) for kind, kept in (known or {}).items()}
    needed = {
        "broker": SERVICES,
        "database": (ADMINISTRATOR, *roles()),
        "registry": (*SERVICES, PUSHES_BASES, PULLS),
        "grafana": (WATCHES,),
    }
    for kind, names in needed.items():
        kept = passwords.setdefault(kind, {})
        for name in names:
            if name not in kept or (renew is not None and name in (renew, role(renew))):
                kept[name] = secrets.token_urlsafe(32)
    return passwords


def known_passwords() -> Passwords:
    try:
        known: Passwords = json.loads((SECRETS / "setup" / "passwords.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return known


def role(service: str) -> str:
    return f"placet_{service}"


def make_keys() -> None:
    """A key for each that signs, and for those who check its public half, or what is told of one that was rotated; and
    for all of these the secret that makes ids of a provider's people, for good."""
    for what, whose in KEYS.items():
        private = SECRETS / whose / f"{what}.pem"
        told = private.with_suffix(".json")
        # The first one may have been rotated out, and its private half removed: another would take over.
        if not told.exists() or private.exists():
            key = SigningKey.load_or_create(private)
            os.chown(private, USER, USER)
        if not told.exists():
            write(told, KeySet([key.public]).to_json())
    people = SECRETS / "gateway" / "people.key"
    if not people.exists():
        write(people, secrets.token_hex(32) + "\n")
    for name in CHECKS_TOKENS:
        for each in ("tokens.json", people.name):
            write(SECRETS / name / each, (SECRETS / "gateway" / each).read_text(encoding="utf-8"))
    history = (SECRETS / "certifier" / "certificates.json").read_text(encoding="utf-8")
    write(SECRETS / "deployer" / "certificates.json", history)


def definitions(passwords: dict[str, str], shipped: Path = DEFINITIONS) -> str:
    """The broker's users as they ship, with hashes as RabbitMQ makes them."""
    document = json.loads(shipped.read_text(encoding="utf-8"))
    for user in document["users"]:
        salt = hashlib.sha256(f"{user['name']}:{passwords[user['name']]}".encode()).digest()[:4]
        digest = hashlib.sha256(salt + passwords[user["name"]].encode()).digest()
        user["password_hash"] = base64.b64encode(salt + digest).decode()
        user["hashing_algorithm"] = "rabbit_password_hashing_sha256"
    return json.dumps(document, indent=1)


def htpasswd(passwords: dict[str, str]) -> str:
    return "".join(f"{name}:{bcrypt(name, password)}\n" for name, password in sorted(passwords.items()))


def bcrypt(name: str, password: str) -> str:
    """By the C library, as the registry wants it; the same for the same password."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    library.crypt_gensalt.restype = ctypes.c_char_p
    random = hashlib.sha256(f"{name}:{password}".encode()).digest()[:16]
    salt = library.crypt_gensalt(b"$2y$", ctypes.c_ulong(BCRYPT_COST), random, len(random))
    made: bytes | None = library.crypt(password.encode(), salt)
    if not made or not made.startswith(b"$2y$"):
        raise SystemExit("the C library makes no bcrypt hashes")
    return made.decode()


def write(path: Path, text: str, *, of: int = USER, mode: int = 0o400) -> None:
    """Whole or not at all; what says the same stays as it is."""
    folder = path.parent
    if mode & 0o077:
        folder.chmod(0o755)
    else:
        os.chown(folder, of, of)
        folder.chmod(0o700)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.chown(aside, of, of)
    aside.chmod(mode)
    aside.replace(path)


async def make_roles(passwords: Passwords) -> None:
    """An owner, and for each service a role that owns nothing and logs in to this database alone."""
    url = POSTGRESQL.format(name=ADMINISTRATOR, password=passwords["database"][ADMINISTRATOR])
    connection = await asyncpg.connect(url, timeout=60)
    try:
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        async with connection.transaction():
            for statement in statements(passwords["database"], there=there, database=DATABASE):
                await connection.execute(statement)
            for other in ("postgres", "template1"):  # which everybody may enter as they are made
                await connection.execute(f"REVOKE CONNECT ON DATABASE {other} FROM PUBLIC")
    finally:
        await connection.close()


def statements(passwords: Mapping[str, str], *, there: Container[str] = (), database: str) -> Iterator[str]:
    """What an administrator tells the database; roles that are `there` get their passwords anew."""
    for name in roles():
        # Names are ours and passwords have letters, digits, - and _ alone.
        rights = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        verb = "ALTER" if name in there else "CREATE"
        yield f"{verb} ROLE {name} {rights} PASSWORD '{passwords[name]}'"
    yield f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC'
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield f'GRANT CONNECT, TEMPORARY ON DATABASE "{database}" TO {OWNER}'
    for each in SERVICES:
        yield f'GRANT CONNECT ON DATABASE "{database}" TO {role(each)}'
        yield f"CREATE SCHEMA IF NOT EXISTS {each} AUTHORIZATION {OWNER}"
    # Who asks what the server is told that it was restored: from the service that asks.
    for name in roles():
        yield f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {name}"


def roles() -> Iterable[str]:
    return (OWNER, *(role(each) for each in SERVICES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
