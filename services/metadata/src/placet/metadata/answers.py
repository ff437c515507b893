"""What this service's calls answer, for the OpenAPI document.

Answers are made as plain documents, from events and what was folded of them; nothing here is in the way of one. Tests
hold them against this, and find a key that is missing here or there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="in RFC 3339")]
Next = Annotated[str | None, Field(description="what to give as `after` for the page that follows")]


class Event(BaseModel):
    """A CloudEvent, as it is in the log."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Time
    partitionkey: str
    correlationid: str
    data: Any = Field(description="by its type, as /asyncapi.json says")


class PlacedEvent(Event):
    sequence: int = Field(description="its position in the audit log")


class Events(BaseModel):
    events: list[PlacedEvent]
    next: int | None


class Entry(BaseModel):
    position: int
    producer: str
    epoch: str
    producerPosition: int
    event: Event


class Entries(BaseModel):
    entries: list[Entry]
    next: int
    head: int


class Checkpoint(BaseModel):
    size: int
    note: str
    signedAt: Time


class Checkpoints(BaseModel):
    checkpoints: list[Checkpoint]
    next: int


class CheckpointKey(BaseModel):
    kid: str
    x: str
    from_: Time | None = Field(alias="from")
    until: Time | None
    why: str | None
    compromised: Time | None
    vkey: str


class CheckpointKeys(BaseModel):
    origin: str
    keys: list[CheckpointKey]


class Witness(BaseModel):
    name: str
    size: int
    seenAt: Time | None
    askedAt: Time
    trouble: str | None


class Witnesses(BaseModel):
    size: int
    witnesses: list[Witness]


class Producer(BaseModel):
    producer: str
    epoch: str
    position: int
    digest: str | None
    saidAt: Time


class Producers(BaseModel):
    producers: list[Producer]


class Told(BaseModel):
    """Of when it is, and on how much of the log it stands."""

    at: Time
    asked: str | None
    position: int
    unread: list[str]
    note: str | None


class Entity(BaseModel):
    """Its facts by name, and in `said` the position of the event that said each."""

    model_config = ConfigDict(extra="allow")

    kind: str
    id: str
    project: str | None
    release: int | None
    state: str
    said: dict[str, int]


class State(Told):
    entities: list[Entity]
    next: Next


class Project(Entity):
    certificateState: str | None
    releases: int


class Projects(Told):
    projects: list[Project]
    next: Next


class Approvals(Told):
    approvals: list[Entity]
    next: Next


class Exceptions(Told):
    exceptions: list[Entity]
    next: Next


class Expiring(BaseModel):
    certificate: str
    project: str | None
    release: int | None
    state: str
    notAfter: Time
    left: int
    renewedBy: str | None
    serves: bool
    position: int


class ExpiringCertificates(Told):
    certificates: list[Expiring]
    next: Next


class Why(BaseModel):
    """Each statement is an object with its `position`."""

    project: str
    at: Time
    allowed: bool
    reason: str
    why: str
    fix: str | None
    position: int | None
    ran: bool | None
    release: dict[str, JsonValue] | None
    certificate: dict[str, JsonValue] | None
    policies: list[dict[str, JsonValue]]
    verdicts: list[dict[str, JsonValue]]
    inputs: list[dict[str, JsonValue]]
    approvals: list[dict[str, JsonValue]]
    exceptions: list[dict[str, JsonValue]]
    assessments: list[dict[str, JsonValue]]
    against: list[dict[str, JsonValue]]
    attempts: list[dict[str, JsonValue]]
    asked: str | None
    note: str | None
    later: list[dict[str, JsonValue]]
    moreLater: bool
    lookedUpTo: int
    unread: list[str]
    lastPosition: int
    checkpoint: int | None


class LastAnswer(BaseModel):
    at: Time
    position: int
    status: int | None
    trouble: str | None


class Webhook(BaseModel):
    webhook: str
    url: str
    type: str | None
    project: str | None
    state: Literal["enabled", "failing", "disabled"]
    why: str | None
    position: int
    head: int
    lastAnswer: LastAnswer | None
    failures: int
    failingSince: Time | None
    nextAttempt: Time | None
    oldSecretUntil: Time | None
    addedBy: str
    addedAt: Time


class Webhooks(BaseModel):
    webhooks: list[Webhook]


class WebhookWithSecret(Webhook):
    secret: str = Field(description="told this once")


class Tried(BaseModel):
    id: str
    taken: bool
    status: int | None
    trouble: str | None
