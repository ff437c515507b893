"""What every event version looked like when it was first shipped: its bytes and its JSON Schema, in `golden/`.

    python -m tests.unit.events.golden_payloads

writes the files of versions that have none yet, and never touches one that is there: what was shipped is in
somebody's log. While a version has not left this repository, delete its files to have them written anew.
"""

from __future__ import annotations

import json
import sys
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from placet.events.catalog import contract_of
from placet.events.codec import Codec
from placet.events.contracts import CATALOG
from placet.events.envelope import Actor

GOLDEN = Path(__file__).with_name("golden")


def example(hint: Any, name: str = "") -> Any:
    """A value of the type: every field set, every list with one element, text that says which field it is."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint(**{field.name: example(field.type, field.name) for field in msgspec.structs.fields(hint)})
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return arguments[0]
        case typing.Union | types.UnionType:
            return example(next(each for each in arguments if each is not types.NoneType), name)
        case builtins_tuple if builtins_tuple is tuple:
            return (example(arguments[0], name),)
    return {str: f"{name}-π", int: 7, bool: True, float: 0.5}[hint]


def event_bytes(cls: type) -> bytes:
    """The canonical bytes of an example of the newest version."""
    return (
        Codec(CATALOG)
        .seal(
            example(cls),
            id="01890a5d-ac96-774b-bcce-b302099a8057",
            time=datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
            subject="release/churn/3",
            partitionkey="churn",
            correlationid="01890a5d-ac96-774b-bcce-b302099a8058",
            causationid="01890a5d-ac96-774b-bcce-b302099a8059",
            actor=Actor.service(contract_of(cls).producer),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .raw
    )


def schema_bytes(cls: type) -> bytes:
    return (json.dumps(CATALOG.schema(cls), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def event_file(type_name: str) -> Path:
    return GOLDEN / f"{type_name}.json"


def schema_file(type_name: str) -> Path:
    return GOLDEN / f"{type_name}.schema.json"


def write_what_is_missing() -> list[Path]:
    GOLDEN.mkdir(exist_ok=True)
    written = []
    for cls in CATALOG.types:
        name = contract_of(cls).type
        for file, content in ((event_file(name), event_bytes(cls)), (schema_file(name), schema_bytes(cls))):
            if not file.exists():
                file.write_bytes(content)
                written.append(file)
    return written


if __name__ == "__main__":
    for path in write_what_is_missing():
        sys.stdout.write(f"{path.relative_to(Path.cwd())}\n")
