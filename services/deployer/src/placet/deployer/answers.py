"""What the deployer's calls answer, for the OpenAPI document. Tests hold answers against it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Amount(BaseModel):
    cpuMillis: int
    memoryBytes: int
    gpus: int


class HeldAmount(Amount):
    release: int


class Example(BaseModel):
    project: str
    release: int
    access: Literal["token", "public"]
    request: Any = Field(description="null where neither its sample nor its signature says one")


class Obstacle(BaseModel):
    why: str
    fix: str | None
    isLasting: bool


class Capacity(BaseModel):
    total: Amount
    free: Amount
    containers: bool
    refusals: list[Obstacle]


class Kinds(BaseModel):
    cpuMillis: int | None
    memoryBytes: int | None
    gpus: int | None
    models: int | None


class Quota(BaseModel):
    scope: Literal["team", "project"]
    of: str
    limits: Kinds
    held: Kinds
    projects: list[str]


class Placement(BaseModel):
    project: str
    state: Literal["reserved", "queued", "refused"]
    where: str
    replicas: int
    each: Amount
    all: Amount
    total: Amount
    free: Amount
    beside: list[HeldAmount]
    quotas: list[Quota]
    waiting: int
    position: int | None
    quota: str | None
    why: str | None
    fix: str | None
