"""`placet witness`: what is typed wrong is told, and what is typed right is a witness until it is stopped."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from placet.cli.arguments import parser
from placet.cli.screen import Screen
from placet.cli.verbs.witness import witness
from placet.errors import Unavailable
from placet.trust import SigningKey, checkpoints
from placet.trust.notes import COSIGNS, Note, NoteKey

from tests.support.eventually import eventually
from tests.unit.cli.conftest import Placet
from tests.unit.witness.logs import KNOWN, LOG, NAME, OTHER, checkpoint, leaves, request

WITNESS_KEY = NoteKey(name=NAME, kind=COSIGNS, key=OTHER.public).vkey
TREE = leaves(5)


def typed(state: Path, *more: str, logs: tuple[str, ...] = ("--log", KNOWN.vkey)) -> list[str]:
    return ["witness", *logs, "--name", NAME, "--state", str(state), "--port", "0", *more]


def read(state: Path, *more: str, logs: tuple[str, ...] = ("--log", KNOWN.vkey)) -> Namespace:
    return parser().parse_args(typed(state, *more, logs=logs))


async def running(
    arguments: Namespace,
    capsys: pytest.CaptureFixture[str],
    ask: Callable[[dict[str, Any]], Awaitable[None]],
) -> str:
    """Start the verb, ask it, stop it as Ctrl-C does; what it said to people."""
    task = asyncio.create_task(witness(arguments, Screen(is_json=True)))
    out, err = "", ""

    def told() -> dict[str, Any] | None:
        nonlocal out, err
        if task.done():
            task.result()
        said = capsys.readouterr()
        out, err = out + said.out, err + said.err
        return json.loads(out) if out else None

    try:
        document = await eventually(told)
        assert document is not None
        await ask(document)
    finally:
        task.cancel()
    assert await task == 0
    return err + capsys.readouterr().err


async def test_a_witness_cosigns_until_it_is_stopped_and_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vkeys = []
    for old, size in ((0, 3), (3, 5)):

        async def ask(told: dict[str, Any], old: int = old, size: int = size) -> None:
            assert told["name"] == NAME
            vkeys.append(told["vkey"])
            async with httpx.AsyncClient(base_url=told["url"], trust_env=False, timeout=60) as http:
                answer = await http.post("/add-checkpoint", content=request(TREE[:size], old))
            assert answer.status_code == 200, answer.text
            note = checkpoints.sign(checkpoint(TREE[:size]), LOG).to_bytes() + answer.content
            assert checkpoints.cosigned(Note.from_bytes(note), [NoteKey.from_vkey(told["vkey"])])

        err = await running(read(tmp_path / "state"), capsys, ask)
        assert vkeys[0] in err
        assert "Ctrl-C stops it" in err
        assert err.endswith("the witness is down\n")
    assert vkeys[0] == vkeys[1]
    assert stat.S_IMODE((tmp_path / "state" / "witness.pem").stat().st_mode) == 0o600


async def test_the_logs_may_be_those_of_a_trust_policy_and_the_key_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, key = tmp_path / "policy", tmp_path / "keys" / "w.pem"
    policy.write_text(f"log {KNOWN.vkey} https://log.example\nquorum none\n")

    async def ask(told: dict[str, Any]) -> None:
        assert NoteKey.from_vkey(told["vkey"]).key == SigningKey.load(key).public
        async with httpx.AsyncClient(base_url=told["url"], trust_env=False, timeout=60) as http:
            assert (await http.post("/add-checkpoint", content=request(TREE, 0))).status_code == 200

    arguments = read(tmp_path / "state", "--key", str(key), logs=("--policy", str(policy)))
    await running(arguments, capsys, ask)


async def test_a_second_witness_on_one_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask(_: dict[str, Any]) -> None:
        with pytest.raises(Unavailable, match="another witness is running"):
            await witness(read(tmp_path / "state"), Screen(is_json=True))

    await running(read(tmp_path / "state"), capsys, ask)


@pytest.mark.parametrize(
    ("logs", "said"),
    [
        (("--log", "nonsense"), "nonsense"),
        (("--log", KNOWN.vkey.replace("+", "+0", 1)), "has the id"),
        (("--log", "\udcff" + KNOWN.vkey), "cannot be the name"),
        (("--policy", "nowhere"), "the trust policy nowhere cannot be read"),
        (("--log", WITNESS_KEY), "is of a witness, not of a log"),
        ((), "--log"),
        (("--log", KNOWN.vkey, "--policy", "policy"), "not allowed with"),
    ],
)
def test_logs_that_are_none_are_told(
    placet: Placet, tmp_path: Path, logs: tuple[str, ...], said: str
) -> None:
    ended = placet(*typed(tmp_path / "state", logs=logs))
    assert ended.status in (1, 2)
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_mistyped_key_is_wrong_usage_and_leaves_nothing(placet: Placet, tmp_path: Path) -> None:
    ended = placet(*typed(tmp_path / "state", logs=("--log", "nonsense")))
    assert ended.status == 2
    assert not (tmp_path / "state").exists()


def test_a_name_with_blanks_is_wrong_usage(placet: Placet, tmp_path: Path) -> None:
    ended = placet(
        "witness", "--log", KNOWN.vkey, "--name", "our witness", "--state", str(tmp_path / "state")
    )
    assert ended.status == 2
    assert "cannot be the name of a key" in ended.err


def test_a_key_that_others_can_read_is_refused_with_what_to_type(placet: Placet, tmp_path: Path) -> None:
    key = tmp_path / "w.pem"
    SigningKey.generate().save(key)
    key.chmod(0o644)
    ended = placet(*typed(tmp_path / "state", "--key", str(key)))
    assert ended.status == 1
    assert f"chmod 600 {key}" in ended.err


def test_help_says_what_is_needed(placet: Placet) -> None:
    ended = placet("witness", "--help")
    assert ended.status == 0
    assert re.search(r"--log VKEY.*--policy FILE.*--name NAME.*--state", ended.out, re.DOTALL)
