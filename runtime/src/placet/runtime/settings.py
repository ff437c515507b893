"""What this process serves and to whom: `placet.json` from the image, overridden by the environment.

The builder writes the file and the deployer sets the environment; both are checked like a person's input.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from placet.runtime import memory
from placet.runtime.columns import Column

FORMAT_NAMES = Literal["sklearn", "onnx", "xgboost", "lightgbm", "pytorch", "python", "mlflow"]

VARIABLES = {
    "PLACET_PROJECT": "the model's name in /v2/models/NAME",
    "PLACET_RELEASE": "the model's version in the protocol's metadata",
    "PLACET_ROOT_PATH": "prefix under which proxies mount this server, for URLs in /docs and /openapi.json",
    "PLACET_ACCESS": "public, or token: every path but health and an empty page asks for a bearer token",
    "PLACET_TOKEN_KEYS": "Ed25519 public keys that sign tokens: a JSON list of {kid, x}, or a file with one; where "
    "there are any, /observations asks for a token",
    "PLACET_MEMORY": "bytes of memory that this process may take (default its container's limit, if there is one)",
    "PLACET_MAX_BODY": "bytes of the largest request body taken (default 33554432, or a fourth of PLACET_MAX_BODIES)",
    "PLACET_MAX_BODIES": "bytes of memory for all requests under way together: their bodies, and what those become "
    "(default seven eighths of PLACET_MEMORY, less what the loaded model takes; 1 GiB where nobody says how much "
    "there is)",
    "PLACET_ANSWER_SECONDS": "how long a prediction may wait and compute before its client is told so (default 240)",
    "PLACET_MAX_BATCH_ROWS": "rows of the largest batch put into one model call (default 1024)",
    "PLACET_MAX_WAITING": "requests that may wait for the model before more are refused (default 512)",
    "PLACET_MAX_CONNECTIONS": "clients connected at once (default 1024, at most half the descriptors)",
    "PLACET_LINGER_SECONDS": "how long clients that keep connections are still answered after SIGTERM, and told to "
    "connect elsewhere (default 0: whoever stops this has sent them elsewhere already)",
}


class WrongSetting(Exception):
    """A setting is missing or not what is allowed; one line that names it."""


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`placet.json`, as the builder writes it. `pickle`: the model is one, and was cleared as one. `method` is the
    one of the model's methods whose answer alone is given."""

    project: str
    format: FORMAT_NAMES
    path: str
    sample: str | None = None
    reference: str | None = None
    module: str | None = None
    trusted: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    method: str | None = None
    example: msgspec.Raw = msgspec.Raw()
    pickle: bool = False


class TokenKey(msgspec.Struct, frozen=True):
    kid: str
    x: str

    def raw(self) -> bytes:
        return base64.urlsafe_b64decode(self.x + "=" * (-len(self.x) % 4))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    format: FORMAT_NAMES
    artifact: Path
    sample: Path | None
    reference: Path | None
    module: Path | None
    trusted: tuple[str, ...]
    columns: tuple[Column, ...]
    method: str | None
    example: bytes
    may_unpickle: bool
    release: str | None
    root_path: str
    token_keys: tuple[TokenKey, ...] | None  # None: public
    supervisor_keys: tuple[TokenKey, ...] | None  # None: nobody supervises it
    memory: int | None  # None: nobody says
    max_body: int | None  # None: as there is memory
    max_bodies: int | None  # None: as there is memory
    answer_seconds: int
    max_batch_rows: int
    max_waiting: int
    max_connections: int
    linger_seconds: int


def read(root: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    image = _image(root / "placet.json")
    folder = root / "project"
    root_path = environment.get("PLACET_ROOT_PATH", "").rstrip("/")
    keys = _token_keys(environment)
    if root_path and not root_path.startswith("/"):
        raise WrongSetting(f"PLACET_ROOT_PATH is {root_path!r} and has to start with /")
    return Settings(
        project=environment.get("PLACET_PROJECT") or image.project,
        format=image.format,
        artifact=_inside(folder, image.path),
        sample=None if image.sample is None else _inside(folder, image.sample),
        reference=None if image.reference is None else _inside(folder, image.reference),
        module=None if image.module is None else _inside(folder, image.module),
        trusted=image.trusted,
        columns=image.columns,
        method=image.method,
        example=bytes(image.example),
        may_unpickle=image.pickle,
        release=environment.get("PLACET_RELEASE") or None,
        root_path=root_path,
        token_keys=keys if _asks_for_tokens(environment, keys) else None,
        supervisor_keys=keys,
        memory=_given(environment, "PLACET_MEMORY") or memory.of_container(),
        max_body=_given(environment, "PLACET_MAX_BODY"),
        max_bodies=_given(environment, "PLACET_MAX_BODIES"),
        answer_seconds=_positive(environment, "PLACET_ANSWER_SECONDS", 240),
        max_batch_rows=_positive(environment, "PLACET_MAX_BATCH_ROWS", 1024),
        max_waiting=_positive(environment, "PLACET_MAX_WAITING", 512),
        max_connections=_positive(environment, "PLACET_MAX_CONNECTIONS", 1024),
        linger_seconds=_given(environment, "PLACET_LINGER_SECONDS") or 0,
    )


def _image(path: Path) -> Image:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Image)
    except FileNotFoundError:
        raise WrongSetting(f"{path} does not exist; --root names the folder that holds placet.json") from None
    except OSError as error:
        raise WrongSetting(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WrongSetting(f"{path}: {error}") from error


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise WrongSetting(f"placet.json names {name}, which is outside the project's folder")
    return path


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    return _given(environment, name) or default


def _given(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "")
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise WrongSetting(f"{name} is {value!r} and has to be a whole number above 0")
    return int(value)


def _asks_for_tokens(environment: Mapping[str, str], keys: tuple[TokenKey, ...] | None) -> bool:
    match environment.get("PLACET_ACCESS", "") or "public":
        case "public":
            return False
        case "token" if keys is None:
            raise WrongSetting(
                "PLACET_ACCESS=token needs PLACET_TOKEN_KEYS, the keys that tokens are checked with"
            )
        case "token":
            return True
        case other:
            raise WrongSetting(f"PLACET_ACCESS is {other!r} and has to be public or token")


def _token_keys(environment: Mapping[str, str]) -> tuple[TokenKey, ...] | None:
    value = environment.get("PLACET_TOKEN_KEYS", "").strip()
    if not value:
        return None
    try:
        document = value.encode() if value.startswith("[") else Path(value).read_bytes()
        keys = msgspec.json.decode(document, type=tuple[TokenKey, ...])
        lengths = {len(key.raw()) for key in keys}
    except OSError as error:
        raise WrongSetting(
            f"PLACET_TOKEN_KEYS names {value}, which cannot be read: {error.strerror}"
        ) from error
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise WrongSetting(f"PLACET_TOKEN_KEYS has to be a JSON list of {{kid, x}}: {error}") from error
    if lengths != {32}:
        raise WrongSetting("PLACET_TOKEN_KEYS has to list at least one key, each x 32 bytes in base64url")
    return keys
