"""What is wrong with a value is said in our words, whichever type of pydantic's it was to be."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from placet.events.validation import in_words
from placet.gateway.api import DIGEST, NAME
from placet.gateway.names import SEEN
from placet.projects import PROJECT_PATTERN
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


class Colour(StrEnum):
    RED = "red"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    many: int = 1


def _never(value: str) -> str:
    raise ValueError("must be something else")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, "seven", "must be a whole number"),
        (int, 1.5, "must be a whole number"),
        (int, None, "must be a whole number"),
        (Annotated[int, Field(strict=True)], "7", "must be a whole number"),
        (float, "much", "must be a number"),
        (Annotated[float, Field(allow_inf_nan=False)], float("inf"), "must be a number, and a finite one"),
        (bool, "perhaps", "must be true or false"),
        (str, 7, "must be text"),
        (list[int], 7, "must be a list"),
        (tuple[int, ...], 7, "must be a list"),
        (dict[str, int], [], "must be an object"),
        (Body, 7, "must be an object"),
        (Body, {"mny": 1}, "is known to nobody"),
        (datetime, "soon", "must be a time such as 2026-05-04T12:00:00Z"),
        (date, "soon", "must be a day such as 2026-05-04"),
        (Path, 7, "must be the path of a file or folder"),
        (Colour, "blue", "must be 'red'"),
        (Literal["process", "docker", "kubernetes"], "podman", "must be 'process', 'docker' or 'kubernetes'"),
        (Annotated[int, Field(ge=1)], 0, "must be 1 or more"),
        (Annotated[int, Field(gt=0)], 0, "must be more than 0"),
        (Annotated[int, Field(le=9)], 10, "must be 9 or less"),
        (Annotated[float, Field(lt=0.5)], 1.0, "must be less than 0.5"),
        (Annotated[str, Field(min_length=3)], "a", "must be 3 characters long or longer"),
        (Annotated[str, Field(max_length=3)], "abcd", "must be no longer than 3 characters"),
        (Annotated[str, Field(pattern="^[a-z]+$")], "A", "must be like ^[a-z]+$"),
        (
            Annotated[str, Field(pattern=PROJECT_PATTERN)],
            "A",
            "must be 3 to 40 characters: a to z, 0 to 9 and -, beginning with a letter and not ending with -",
        ),
        (
            Annotated[str, Field(pattern=DIGEST)],
            "abc",
            "must be a digest: sha256: and 64 of 0 to 9 and a to f",
        ),
        (
            Annotated[str, Field(pattern=NAME)],
            "é",
            "must be letters without accents, digits and signs such as - and . alone",
        ),
        (
            Annotated[str, Field(pattern=SEEN)],
            "Z\u034foe",
            "must be one line of text, every letter of which can be seen",
        ),
        (Annotated[list[int], Field(min_length=1)], [], "must have 1 entries or more"),
        (Annotated[str, AfterValidator(_never)], "a", "must be something else"),
    ],
)  # fmt: skip
def test_each_kind_of_mistake(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        TypeAdapter(kind).validate_python(value)
    assert [in_words(each) for each in wrong.value.errors()] == [said]


def test_what_is_missing_and_what_nobody_has_words_for() -> None:
    class Asked(BaseModel):
        many: int

    with pytest.raises(ValidationError) as wrong:
        Asked.model_validate({})
    assert in_words(wrong.value.errors()[0]) == "is missing"
    assert in_words({"type": "unknown_key", "msg": "nobody knows the key 'x'"}) == "nobody knows the key 'x'"
