"""Policies that somebody sent are read in a process of their own."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

import pytest
from placet.errors import Refused
from placet.projects.documents import DocumentRefused
from placet.rules import Policy, read_policy, shipped_files
from placet.rules.loading import loaded, read

POLICY = """\
apiVersion: placet/v1
kind: Policy
id: house.small
version: 1
title: Small
owner: compliance
given: {resources: {gpu: 0}}
rules:
  - id: house.no-gpu
    title: No GPU
    citations: []
    stage: submit
    onFail: deny
    require: resources.gpu == 0
    say: it asks for a GPU
    fix: ask for none
    tests:
      - {expect: pass}
      - {expect: fail, patch: {resources: {gpu: 1}}, says: a GPU}
"""


async def test_what_passes_its_own_tests_is_loaded_as_it_is_read() -> None:
    data = POLICY.encode()
    assert await loaded(data) == read_policy(data)


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("expect: pass", "expect: fail", "house.no-gpu test 1: expected fail, the rule said pass"),
        ("resources.gpu == 0", "resource.gpu == 0", "nobody knows the fact 'resource'"),
        ("resources.gpu == 0", "'resources.gpu =='", "this is not CEL"),
        ("owner:", "ownner:", "ownner"),
        ("version: 1\n", "version: 1\nsupersedes: house.small\n", "its own earlier versions"),
    ],
    ids=["own test", "unknown fact", "no CEL", "unknown key", "supersedes itself"],
)
async def test_what_does_not_is_refused_with_every_problem(written: str, instead: str, said: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        await loaded(POLICY.replace(written, instead).encode())
    assert any(said in str(problem) for problem in refused.value.problems)


async def test_it_comes_from_that_process_as_it_is_read_here() -> None:
    """With its dates, and numbers that JSON has none for or would round."""
    numbers = "params: {most: 1e999, share: 0.1, whole: 1.0, count: 999999999999999999, none: null, text: '2026-01-01'}"
    cited = "citations: [{source: the law, applies: 2026-08-02}]"
    data = POLICY.replace("given:", f"{numbers}\ngiven:").replace("citations: []", cited).encode()
    here = read_policy(data)
    assert here.params["most"] == math.inf
    for there in (await loaded(data), await read(data)):
        assert there == here
        assert isinstance(there.params["whole"], float)


async def test_what_is_only_read_may_fail_its_own_tests_and_not_its_form() -> None:
    wrong = POLICY.replace("expect: pass", "expect: fail").encode()
    assert await read(wrong) == read_policy(wrong)
    with pytest.raises(DocumentRefused) as refused:
        await read(POLICY.replace("owner:", "ownner:").encode(), name="the file")
    assert [str(each) for each in refused.value.problems] == _problems_of(
        POLICY.replace("owner:", "ownner:").encode()
    )
    with pytest.raises(Refused, match=r"reading the policy takes more than 0\.01 s"):
        await read(POLICY.encode(), wait=0.01)


def _problems_of(data: bytes) -> list[str]:
    with pytest.raises(DocumentRefused) as refused:
        read_policy(data, name="the file")
    return [str(each) for each in refused.value.problems]


@pytest.mark.parametrize("read_there", [loaded, read])
async def test_nothing_of_a_file_is_read_in_the_process_that_asks(
    read_there: Callable[[bytes], Awaitable[Policy]],
) -> None:
    """A thread that reads YAML keeps everybody else of its process waiting, for seconds where the file is large."""
    reading: list[str] = []

    def seen(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name in ("read_document", "compose_node"):
            reading.append(frame.f_code.co_name)

    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        await read_there(POLICY.encode())
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert reading == []


async def test_tests_that_take_too_long_are_given_up() -> None:
    with pytest.raises(Refused, match=r"take more than 0\.01 s"):
        await loaded(POLICY.encode(), wait=0.01)


async def test_what_ships_could_be_published() -> None:
    for name, data in shipped_files().items():
        assert await loaded(data, name=name) == read_policy(data)
