"""What the indexer's calls answer, for the OpenAPI document. Tests hold answers against it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Item(BaseModel):
    kind: Literal["image", "source"]
    digest: str
    repository: str
    project: str
    release: int | None
    bytes: int
    why: str


class Garbage(BaseModel):
    remove: list[Item]
    keep: list[Item]
    bytes: int


class Stopped(BaseModel):
    why: str
    fix: str | None


class Collected(BaseModel):
    removed: list[Item]
    bytes: int
    swept: int
    stopped: Stopped | None


class Looks(BaseModel):
    looks: int
