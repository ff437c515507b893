"""Policies that somebody sent are read in a process of their own."""

from __future__ import annotations

import pytest
from placet.errors import Refused
from placet.projects.documents import DocumentRefused
from placet.rules import read_policy, shipped_files
from placet.rules.loading import loaded

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


async def test_tests_that_take_too_long_are_given_up() -> None:
    with pytest.raises(Refused, match=r"take more than 0\.01 s"):
        await loaded(POLICY.encode(), wait=0.01)


async def test_what_ships_could_be_published() -> None:
    for name, data in shipped_files().items():
        assert (await loaded(data, name=name)).digest == read_policy(data).digest
