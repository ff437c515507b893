"""What is answered of how a service stands, for the OpenAPI document. Tests hold answers against it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="in RFC 3339")]


class Alive(BaseModel):
    status: str


class Building(BaseModel):
    """A read model that is made anew beside the one that serves."""

    version: int
    position: int
    lag: int


class Progress(BaseModel):
    version: int
    position: int
    lag: int
    beatAge: float | None
    building: Building | None = Field(default=None, description="where one is being made")


class Ready(BaseModel):
    """Of a service whose database is away `ready` and `why` alone are known."""

    ready: bool
    why: str = Field(default="", description="where it is not ready: what is in the way")
    hampered: dict[str, str] = Field(
        default={}, description="what is away beside that, and what it could not do"
    )
    leads: bool = False
    head: int = 0
    outbox: int = 0
    inbox: int = 0
    parked: int = 0
    behind: dict[str, int] = Field(default={}, description="by producer")
    jobs: int = 0
    projections: dict[str, Progress] = {}


class Readiness(BaseModel):
    ready: bool
    services: dict[str, Ready]


class Hampered(BaseModel):
    what: str
    why: str


class Outbox(BaseModel):
    position: int
    waiting: int
    since: Time | None


class Hears(BaseModel):
    producer: str
    position: int
    behind: int | None
    waiting: int
    since: Time | None
    attempts: int


class Jobs(BaseModel):
    kind: str
    running: int
    waiting: int
    failed: int


class NamedProgress(BaseModel):
    name: str
    version: int
    position: int
    lag: int
    beatAge: float | None
    building: Building | None


class Standing(BaseModel):
    """Of a service whose database is away the last five are null or empty."""

    service: str
    ready: bool
    why: str | None
    hampered: list[Hampered]
    leads: bool
    parked: int | None
    outbox: Outbox | None
    hears: list[Hears]
    jobs: list[Jobs]
    projections: list[NamedProgress]


class ParkedMessage(BaseModel):
    id: str
    producer: str
    epoch: str | None
    position: int | None
    event: str | None
    type: str | None
    project: str | None
    routingKey: str
    reason: str
    attempts: int
    receivedAt: Time
    parkedAt: Time
    stray: bool


class ParkedMessages(BaseModel):
    parked: list[ParkedMessage]
    next: str | None = Field(description="what to give as `after` for the page that follows")


class Retried(BaseModel):
    retried: int
