"""`placet.yaml`: what a model project says about itself.

Only what must be there to act is required (project and model); what a rule may ask for, such as a purpose
or an owner, may be left empty here, so that the rule can say why it matters. Reading never touches the files
that the manifest names.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import yaml

from placet.projects.documents import MAX_PROBLEMS, DocumentRefused, Problem, Reading, read_as_far

MANIFEST_NAME = "placet.yaml"
PROJECT_PATTERN = r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$"
RESERVED_NAME = "platform"
"""No project's name: in events it stands for what belongs to no project."""

_PATH = r"(?!/)(?!.*//)(?!(?:.*/)?\.{1,2}(?:/|$))[^\\\x00-\x1f\x7f]*[^/\\\x00-\x1f\x7f]"
_CPU_PATTERN = r"^(?:[0-9]{1,6}m|[0-9]{1,4}(?:\.[0-9]{1,3})?)$"
_MEMORY_PATTERN = r"^[0-9]{1,15}(?:k|M|G|T|Ki|Mi|Gi|Ti)?$"
_SMALLEST_MEMORY = 16 * 1024**2
# More than any machine has; how much the platform's machines have, it alone knows.
_LARGEST_MEMORY = 64 * 1024**4
_MOST_MILLICORES = 4096 * 1000
_FACTORS = {"k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4} | {
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
    "Ti": 1024**4,
}


def _text(
    description: str, *, pattern: str | None = None, means: str | None = None, longest: int = 500
) -> Any:
    return msgspec.Meta(
        min_length=1,
        max_length=longest,
        pattern=pattern,
        description=description,
        extra={"means": means} if means else None,
    )


ProjectName = Annotated[
    str,
    _text(
        "The project's name: its URL carries it",
        pattern=f"^(?!{RESERVED_NAME}$){PROJECT_PATTERN[1:]}",
        means="a project name: 3 to 40 lower-case letters, digits and hyphens, beginning with a letter,"
        f" not ending with a hyphen, and other than `{RESERVED_NAME}`, which is reserved",
    ),
]
RelativePath = Annotated[
    str,
    _text(
        "A file of the project, relative to its folder",
        pattern=f"^{_PATH}$",
        means="a path inside the project's folder, such as model.skops",
        longest=255,
    ),
]
ModelPath = Annotated[
    str,
    _text(
        "The model's file, or the folder that MLflow saved it to, relative to the project's folder",
        pattern=rf"^(?:\.|{_PATH})$",
        means="a path inside the project's folder, such as model.skops, or . for the folder itself",
        longest=255,
    ),
]
Identifier = Annotated[
    str,
    _text(
        "A short name",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/()+-]*$",
        means="a short name of letters, digits, spaces and . _ / ( ) + -",
        longest=100,
    ),
]
Person = Annotated[
    str,
    _text("A person's mail address", pattern=r"^[^@\s]+@[^@\s]+$", means="a mail address", longest=254),
]
Cell = Annotated[
    str,
    _text(
        "A column of a table, or a value in one",
        pattern=r"^[^\x00-\x1f\x7f]+$",
        means="a column or a value, without line breaks",
        longest=100,
    ),
]
Words = Annotated[str, _text("Words for people", longest=2000)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Model(_Part, frozen=True, kw_only=True):
    """The artifact to serve; `sample` holds a request and its expected answer, tried before going live.

    `reference` holds rows of what the model was made for, as CSV or as a request: drift is told by them. `module` is
    the Python file with the class that weights alone, as safetensors hold them, are loaded to.
    """

    format: Annotated[
        str,
        _text(
            "The model's format, for example sklearn or onnx",
            pattern=r"^[a-z][a-z0-9-]{0,30}$",
            means="a format such as sklearn or onnx",
        ),
    ]
    path: ModelPath
    module: RelativePath | None = None
    sample: RelativePath | None = None
    reference: RelativePath | None = None


class Build(_Part, frozen=True, kw_only=True):
    """How the image is made where a project wants more than packages and files: by a Dockerfile of its own."""

    dockerfile: RelativePath | None = None


class Replicas(_Part, frozen=True, kw_only=True):
    min: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1
    max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class Resources(_Part, frozen=True, kw_only=True):
    """What one replica may use, in Kubernetes' notation."""

    cpu: Annotated[
        str | int | float,
        msgspec.Meta(
            description="Cores or millicores, e.g. 500m", extra={"means": "cores such as 500m, 1 or 1.5"}
        ),
    ] = "500m"
    memory: Annotated[
        str | int,
        msgspec.Meta(description="Bytes, e.g. 512Mi", extra={"means": "an amount of memory such as 512Mi"}),
    ] = "512Mi"
    gpu: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    replicas: Replicas = Replicas()

    @property
    def millicores(self) -> int:
        text = str(self.cpu)
        return int(text[:-1]) if text.endswith("m") else int(Decimal(text) * 1000)

    @property
    def memory_bytes(self) -> int:
        number, suffix = re.split(r"(?<=\d)(?=\D|$)", str(self.memory), maxsplit=1)
        return int(number) * _FACTORS.get(suffix, 1)


class Oversight(_Part, frozen=True, kw_only=True):
    """Who watches the model, who can stop it, and when stopping was last tried."""

    owner: Words | None = None
    stop_owner: Words | None = None
    stop_tested_at: date | None = None


class DataSet(_Part, frozen=True, kw_only=True):
    """Data the model was made from."""

    name: Identifier
    origin: Words | None = None
    licence: Identifier | None = None
    personal_data: bool | None = None


class Evaluation(_Part, frozen=True, kw_only=True):
    """What the model answered to cases whose truth is known: a CSV file with a row for each."""

    predictions: RelativePath
    target: Annotated[Cell, msgspec.Meta(description="The column with what is true")]
    prediction: Annotated[Cell, msgspec.Meta(description="The column with what the model answered")]
    favourable: Annotated[
        Cell, msgspec.Meta(description="The answer that is good for who is concerned, as the file has it")
    ] = "1"
    sensitive: Annotated[
        tuple[Cell, ...],
        msgspec.Meta(max_length=10, description="The columns that say which group somebody belongs to"),
    ] = ()


Span = Annotated[
    str,
    _text("How long it is", pattern=r"^[1-9][0-9]{0,5}[smhdw]$", means="a span such as 1d or 30m", longest=7),
]
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LARGEST = {"psi": 1000.0, "errors": 1.0, "refusals": 1.0}
"""Of a metric's limit: the last two are shares of all requests."""
_MOST_CONDITIONS = 20


class Monitor(_Part, frozen=True, kw_only=True):
    """A condition on a model that serves: what is watched, and what happens when it is over its limit.

    What was over `max` is kept again only once it is back at `recovery`, four fifths of it where nothing is said. A
    model that was suspended is let serve again on trial after `retryAfter`, or else only when people say so.
    """

    metric: Annotated[
        Literal["psi", "errors", "refusals"],
        msgspec.Meta(description="psi: drift of the inputs; errors, refusals: the share of requests"),
    ]
    max: float
    recovery: float | None = None
    window: Span = "1d"
    min_samples: Annotated[
        int, msgspec.Meta(ge=1, le=10**9, description="Rows (psi) or requests; of fewer nothing is judged")
    ] = 100
    action: Literal["warn", "suspend"] = "warn"
    retry_after: Span | None = None

    @property
    def recovers_at(self) -> float:
        return 0.8 * self.max if self.recovery is None else self.recovery

    @property
    def window_seconds(self) -> int:
        return seconds_of(self.window)

    @property
    def retry_seconds(self) -> int | None:
        return None if self.retry_after is None else seconds_of(self.retry_after)


def seconds_of(span: str) -> int:
    return int(span[:-1]) * _SPANS[span[-1]]


class Governance(_Part, frozen=True, kw_only=True):
    """What people answer for. Anything may be empty here; the rules say what may not."""

    purpose: Annotated[str, _text("What the model is for, in a sentence", longest=2000)] | None = None
    risk_class: (
        Annotated[Literal["minimal", "limited", "high"], msgspec.Meta(description="minimal, limited or high")]
        | None
    ) = None
    owner: (
        Annotated[Person, msgspec.Meta(description="The mail address of who answers for the model")] | None
    ) = None
    builders: tuple[Person, ...] = ()
    oversight: Oversight | None = None
    data: tuple[DataSet, ...] = ()
    evaluation: Evaluation | None = None
    monitoring: tuple[Monitor, ...] = ()
    trial: Annotated[
        bool,
        msgspec.Meta(description="The model is only tried out: for a few days, by whoever has a token"),
    ] = False


class Manifest(_Part, frozen=True, kw_only=True):
    """A model project, as placet.yaml says it."""

    api_version: Annotated[Literal["placet/v1"], msgspec.Meta(description="Which form this document has")]
    project: ProjectName
    model: Model
    requirements: RelativePath | None = None
    build: Build = Build()
    resources: Resources = Resources()
    governance: Governance = Governance()
    access: Annotated[
        Literal["token", "public"], msgspec.Meta(description="Who may call the model's URL")
    ] = "token"
    card: RelativePath | None = None


def parse_manifest(data: bytes) -> Manifest:
    """Read a placet.yaml, or raise `DocumentRefused` with every problem in it."""
    reading = read_manifest(data)
    if reading.problems:
        raise DocumentRefused(MANIFEST_NAME, reading.problems)
    return reading.value


def read_manifest(data: bytes) -> Reading[Manifest]:
    """A placet.yaml as far as it can be read, with every problem in it."""
    reading = read_as_far(data, Manifest, document=MANIFEST_NAME)
    problems = tuple(each for each in _contradictions(reading.value) if not _rests_on(each.path, reading))
    unread = {problem.path for problem in problems}
    resources = msgspec.structs.replace(
        reading.value.resources,
        **{
            name: getattr(_USUAL, name)
            for name in ("cpu", "memory", "replicas")
            if f"resources.{name}" in unread
        },
    )
    governance = msgspec.structs.replace(
        reading.value.governance,
        monitoring=tuple(each for each in reading.value.governance.monitoring if _says_what_it_must(each)),
    )
    return Reading(
        value=msgspec.structs.replace(reading.value, resources=resources, governance=governance),
        problems=(*reading.problems, *problems)[:MAX_PROBLEMS],
        unread=reading.unread | unread,
    )


_USUAL = Resources()


def _says_what_it_must(monitor: Monitor) -> bool:
    """Whether a condition has a metric and a limit. What stands in their place where they cannot be read is a text."""
    return monitor.metric in _LARGEST and isinstance(monitor.max, int | float)


def _rests_on(path: str, reading: Reading[Manifest]) -> bool:
    """Whether something of this part cannot be read, so that its contradiction may be none."""
    return reading.is_unread(path) or any(part.startswith(f"{path}.") for part in reading.unread)


def _contradictions(manifest: Manifest) -> list[Problem]:
    problems = []
    resources = manifest.resources
    if not re.search(_CPU_PATTERN, str(resources.cpu)) or resources.millicores < 1:
        problems.append(Problem("resources.cpu", f"{resources.cpu!r} is not cores such as 500m, 1 or 1.5"))
    elif resources.millicores > _MOST_MILLICORES:
        problems.append(Problem("resources.cpu", f"{resources.cpu!r} is more than any machine has"))
    if not re.search(_MEMORY_PATTERN, str(resources.memory)):
        problems.append(Problem("resources.memory", f"{resources.memory!r} is not memory such as 512Mi"))
    elif resources.memory_bytes < _SMALLEST_MEMORY:
        problems.append(
            Problem(
                "resources.memory",
                f"{resources.memory!r} is too little for any model",
                "ask for 16Mi or more",
            )
        )
    elif resources.memory_bytes > _LARGEST_MEMORY:
        problems.append(Problem("resources.memory", f"{resources.memory!r} is more than any machine has"))
    if resources.replicas.min > resources.replicas.max:
        problems.append(
            Problem(
                "resources.replicas",
                f"min {resources.replicas.min} is more than max {resources.replicas.max}",
                "lower min or raise max",
            )
        )
    if len(manifest.governance.monitoring) > _MOST_CONDITIONS:
        problems.append(Problem("governance.monitoring", f"has more than {_MOST_CONDITIONS} conditions"))
    for index, monitor in enumerate(manifest.governance.monitoring):
        if not _says_what_it_must(monitor):
            continue  # that it cannot be read is told
        path, largest = f"governance.monitoring[{index}]", _LARGEST[monitor.metric]
        if not 0 <= monitor.max <= largest:
            said = f"{monitor.max:g} is no limit of {monitor.metric}"
            problems.append(Problem(f"{path}.max", said, f"it is a number from 0 to {largest:g}"))
        elif not 0 <= monitor.recovers_at <= monitor.max:
            said = f"{monitor.recovers_at:g} is not from 0 to max, which is {monitor.max:g}"
            problems.append(Problem(f"{path}.recovery", said))
        if monitor.retry_after is not None and monitor.action == "warn":
            said = "a warning takes nothing off its route"
            problems.append(Problem(f"{path}.retryAfter", said, "leave it out, or set action to suspend"))
    return problems


_LEFT_TO_PEOPLE = ("purpose", "riskClass", "owner")


def dump_manifest(manifest: Manifest) -> str:
    """The manifest as YAML that `parse_manifest` reads back to an equal one.

    Defaults are left out; what only people can answer is always there, if need be empty or as a comment, with a
    remark what to write.
    """
    document = _without_defaults(manifest)
    document.setdefault("governance", {})
    governance = {name: document["governance"].pop(name, None) for name in _LEFT_TO_PEOPLE}
    document["governance"] = governance | document["governance"]
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    text = re.sub(r"^( +)(purpose|riskClass|owner): __empty__$", _with_remark, text, flags=re.MULTILINE)
    if manifest.governance.data:
        return text
    return re.sub(r"^  owner:.*$", rf"\g<0>\n{_DATA_TO_NAME}", text, count=1, flags=re.MULTILINE)


_REMARKS = {
    "purpose": "what the model is for, in a sentence",
    "riskClass": "minimal, limited or high",
    "owner": "the mail address of who answers for it",
}

_DATA_TO_NAME = """\
  # data:  # what it was made from; licence such as CC-BY-4.0, personalData true or false
  #   - {name: …, origin: …, licence: …, personalData: …}"""


def _with_remark(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}:  # {_REMARKS[found[2]]}"


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


# What our reader takes for a number and YAML 1.1 does not: in quotes, or words would come back as one.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+$"), list("-0123456789")
)
_Dumper.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:str", "__empty__")
)


def _without_defaults(part: msgspec.Struct) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if not field.required and value == field.default:
            continue
        written[field.encode_name] = _plain(value)
    return written


def _plain(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return _without_defaults(value)
        case tuple():
            return [_plain(item) for item in value]
        case date():
            return value.isoformat()
        case _:
            return value


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of placet.yaml, for editors."""
    schema = msgspec.json.schema(Manifest)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": MANIFEST_NAME} | schema
