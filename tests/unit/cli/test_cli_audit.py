"""The audit log, verified by somebody who believes nothing of it, against an administrator who rewrites it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from placet.cli.verbs.evidence import is_less
from placet.events import ServiceRunner
from placet.events.bus import EpochBegan, HeadAnnounced
from placet.events.chain import Chain
from placet.events.http import http_app
from placet.events.testing import ManualClock
from placet.metadata.ports import Knows
from placet.metadata.projections import AUDIT
from placet.metadata.witnessing import Witnessing
from placet.trust import OwnKeys, SigningKey, VerifyingKey
from placet.trust import checkpoints as notes
from placet.trust.checkpoints import Checkpoint
from placet.trust.leaves import Leaf
from placet.trust.merkle import consistency, leaf_hash, root_of
from placet.trust.notes import SIGNS, NoteKey, Signature
from placet.trust.proofs import ConsistencyProof, InclusionProof
from placet.witness import Witness
from placet.witness.witness import OtherSize

from tests.support.serving import serving
from tests.unit.cli.conftest import Placet
from tests.unit.metadata.logs import a_log
from tests.unit.metadata.test_sealing import BASE, Sealed
from tests.unit.witness.logs import Clock, Opened

T = TypeVar("T")


class Served:
    """A metadata service over HTTP, in a loop and a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._is_up: Future[tuple[Sealed, str]] = Future()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Served:
        self._thread.start()
        self.sealed, self.url = self._is_up.result(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with (
            a_log(self.folder) as log,
            serving(http_app("metadata", [ServiceRunner(log.alone.service)], version="1")) as url,
        ):
            self._is_up.set_result((Sealed(log, self.folder), url))
            await self._ends.wait()

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=60)

    def happen(self, *events: int) -> None:
        """So many events, and a checkpoint each time; as after a start of the service."""

        async def go() -> None:
            sealing = self.sealed.sealing()
            for each in events:
                await self.sealed.happen(each)
                await sealing.catch_up()

        self.do(go)

    def say(self) -> None:
        """What the gateway says of its own store now, which has what was kept of it here."""

        async def go() -> None:
            store = self.sealed.log.alone.wiring.store
            chain = Chain.begin("gateway", "1", 0)
            for each in await store.read_all(0, 1000, log=AUDIT):
                chain.extend(each.event.raw)
            tell = self.sealed.log.alone.service.on_head
            assert tell is not None
            epochs = (EpochBegan(epoch="1", began_after=0),)
            position = chain.position
            head = HeadAnnounced(
                producer="gateway", position=position, end=position, epochs=epochs, chain=chain.value.hex()
            )
            await tell(head)

        self.do(go)

    @property
    def vkey(self) -> str:
        return self.sealed.known[0].vkey

    def change(self, position: int) -> None:
        """One digit in an event, by an administrator."""
        self.sealed.as_administrator(
            "UPDATE audit SET raw = CAST(replace(CAST(raw AS TEXT), '\"release\":', '\"release\":9') AS BLOB)"
            " WHERE position = ?",
            values=(position,),
        )

    def rewrite(self, *statements: str) -> None:
        """As an administrator who has the log's key, too: change the log, make the whole tree anew, and sign it."""
        self.sealed.as_administrator(
            *statements,
            "DELETE FROM audit_tiles",
            "DELETE FROM audit_checkpoints",
            "DELETE FROM audit_cosignatures",
        )
        (self.folder / "checkpoints.last").unlink()
        self.do(self.sealed.sealing().catch_up)


@pytest.fixture
def served(placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    folder = tmp_path / "log"
    folder.mkdir()
    with Served(folder) as served:
        monkeypatch.setenv("PLACET_URL", served.url)
        monkeypatch.setenv("PLACET_TOKEN", served.sealed.log.token())
        yield served


def test_a_log_that_is_whole_is_said_to_be(placet: Placet, served: Served) -> None:
    served.happen(3, 300)
    ended = placet("audit", "verify", "--log", served.vkey, "--json")
    assert ended.status == 0, ended.err
    assert ended.document == {
        "verified": True,
        "origin": BASE,
        "size": 303,
        "signedBy": served.vkey,
        "agreed": ["the log's own checkpoint of 303 events"],
        "producers": {"gateway": 303},
        "sameAsTheirStores": [],
    }
    assert "every one in its place" in ended.err


def test_without_a_key_those_that_the_log_tells_are_believed_and_said(placet: Placet, served: Served) -> None:
    served.happen(3)
    ended = placet("audit", "verify")
    assert ended.status == 0, ended.err
    assert served.vkey in ended.err
    assert "compare them with those that its operator gave you" in ended.err
    assert served.vkey not in placet("audit", "verify").err, "from the second time on they are known"


def test_a_producer_whose_own_store_has_the_same_is_told(placet: Placet, served: Served) -> None:
    served.happen(3)
    served.say()
    ended = placet("audit", "verify", "--json")
    assert ended.document["sameAsTheirStores"] == ["gateway"]
    assert "gateway: whole up to its event 3; its own store has the same up to event 3" in ended.err
    served.happen(2)
    again = placet("audit", "verify")
    assert "up to its event 5; its own store has the same up to event 3" in again.err, (
        "it said nothing of those yet"
    )
    served.say()
    assert "up to its event 5; its own store has the same up to event 5" in placet("audit", "verify").err


@pytest.mark.parametrize("times", [1, 2])
def test_a_producer_whose_own_store_has_other_events_is_named(
    placet: Placet, served: Served, times: int
) -> None:
    """The log was rewritten by who has its key, too, and nobody outside had seen it."""
    served.happen(3)
    served.say()
    served.change(2)
    served.rewrite()
    for _ in range(times):
        said = verified(placet)
        assert "audit.producers" in said
        assert "gateway says that the own store has other events" in said


def test_evidence_that_cannot_be_had_leaves_nothing_behind(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    served.happen(3)
    (tmp_path / "there").mkdir()
    for folder in ("a/new/one", "there"):
        ended = placet("audit", "export", "churn", "--out", str(tmp_path / folder))
        assert ended.status == 1, ended.err
    assert "told of no registry" in ended.err
    assert "PLACET_REGISTRY" in ended.err
    assert not (tmp_path / "a").exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_an_archive_that_ends_before_the_moment_asked_for_is_known() -> None:
    ends = "2026-03-01T12:00:00.123Z"
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    assert not is_less(ends, None)
    assert not is_less(ends, moment), "it is told less precisely"
    assert is_less(ends, moment + timedelta(milliseconds=1))


def test_another_key_is_not_believed(placet: Placet, served: Served) -> None:
    served.happen(3)
    other = NoteKey(name=BASE, kind=SIGNS, key=notes_key()).vkey
    ended = placet("audit", "verify", "--log", other)
    assert ended.status == 1
    assert "by no key of that log that is known" in ended.err


def test_another_log_in_its_place_is_told(placet: Placet, served: Served) -> None:
    """The platform says its log has another name now: that alone makes nobody believe another key."""
    served.happen(3)
    other = NoteKey(name="other.example/audit", kind=SIGNS, key=notes_key()).vkey
    ended = placet("audit", "verify", "--log", other)
    assert ended.status == 1
    assert f"this platform's log is called {BASE}" in ended.err


def notes_key() -> VerifyingKey:
    return SigningKey.generate().public


def test_an_audit_goes_on_where_it_was(placet: Placet, served: Served) -> None:
    served.happen(300)
    placet("audit", "verify")
    served.happen(10)
    served.change(2)  # that was looked at the last time; what is signed now goes on from what it was then
    assert placet("audit", "verify").status == 0
    anew = placet("audit", "verify", "--anew")
    assert anew.status == 1
    assert "audit.tamper" in anew.err


# What an administrator did, and what it is called.


def verified(placet: Placet, *more: str) -> str:
    ended = placet("audit", "verify", *more)
    assert ended.status == 1, ended.err
    return ended.err


def test_a_byte_of_an_event_that_was_changed_is_named(placet: Placet, served: Served) -> None:
    served.happen(600)
    served.change(300)
    said = verified(placet)
    assert "audit.tamper" in said
    assert "position 300, placet.gateway.deploy.requested.v1 " in said
    assert "was changed after it was signed" in said


def test_one_at_the_end_is_named_as_closely_as_checkpoints_lie(placet: Placet, served: Served) -> None:
    """The tile at the right edge is not written yet."""
    served.happen(10, 2, 10)
    served.change(12)
    assert "something from position 11 to 12 was changed" in verified(placet)


def test_an_event_that_was_removed_is_named(placet: Placet, served: Served) -> None:
    served.happen(600)
    served.sealed.as_administrator("DELETE FROM audit WHERE position = 300")
    assert "log 'audit' has no position 300" in verified(placet)
    replayed = placet("audit", "replay")
    assert (replayed.status, replayed.out) == (1, "")
    assert "log 'audit' has no position 300" in replayed.err


def test_one_that_was_removed_with_its_position_is_named(placet: Placet, served: Served) -> None:
    served.happen(6)
    served.rewrite(
        "DELETE FROM audit WHERE position = 3",
        "UPDATE audit SET position = position - 1 WHERE position > 3",
        "UPDATE log_heads SET position = 5 WHERE log = 'audit'",
    )
    assert "position 3 is the event 4 of gateway, where 3 comes next" in verified(placet)


def test_two_that_were_swapped_are_named(placet: Placet, served: Served) -> None:
    served.happen(600)
    served.sealed.as_administrator(
        "UPDATE audit SET position = -1 WHERE position = 3",
        "UPDATE audit SET position = 3 WHERE position = 4",
        "UPDATE audit SET position = 4 WHERE position = -1",
    )
    assert "position 3 is the event 4 of gateway, where 3 comes next" in verified(placet)


def test_one_that_was_inserted_is_named(placet: Placet, served: Served) -> None:
    served.happen(6)
    served.rewrite(
        "UPDATE audit SET position = -position - 1, version = -version - 1 WHERE position > 3",
        "UPDATE audit SET position = -position, version = -version WHERE position < 0",
        "INSERT INTO audit SELECT 4, 'another', stream, 4, raw FROM audit WHERE position = 3",
        "UPDATE log_heads SET position = 7 WHERE log = 'audit'",
    )
    kept = served_checkpoint(served, 6)
    assert "the log is not the one of" in verified(placet, "--checkpoint", str(kept))


def served_checkpoint(served: Served, size: int) -> Path:
    """What an auditor kept of the log as it was when each event was its own."""

    async def hashes() -> list[bytes]:
        found: list[bytes] = []
        async for page in served.sealed.log.alone.wiring.store.replay(log=AUDIT):
            found += [each.event.raw for each in page]
        return found

    raws = served.do(hashes)
    raws = [raw for at, raw in enumerate(raws) if at != 3][:size]
    leaves = [
        Leaf.of(raw, position=at, producer="gateway", epoch="1", producer_position=at)
        for at, raw in enumerate(raws, start=1)
    ]
    root = root_of([leaf_hash(each.to_bytes()) for each in leaves])
    note = notes.sign(Checkpoint(origin=BASE, size=size, root=root), served.sealed.keys().active().key)
    file = served.folder / "kept.checkpoint"
    file.write_bytes(note.to_bytes())
    return file


def test_an_end_that_was_cut_off_is_told_by_who_verified_before(placet: Placet, served: Served) -> None:
    served.happen(6)
    placet("audit", "verify")
    served.rewrite(
        "DELETE FROM audit WHERE position > 4", "UPDATE log_heads SET position = 4 WHERE log = 'audit'"
    )
    assert "has 4 events, and had 6 when it was verified: its end was cut off" in verified(placet)


def test_an_end_that_was_cut_off_and_signed_anew_is_told_by_a_checkpoint_kept_elsewhere(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    served.happen(6)
    kept = tmp_path / "kept"
    kept.mkdir()
    assert placet("audit", "checkpoint", "--out", str(kept / "6.checkpoint")).status == 0
    served.rewrite(
        "DELETE FROM audit WHERE position > 4", "UPDATE log_heads SET position = 4 WHERE log = 'audit'"
    )
    assert placet("audit", "verify", "--log", served.vkey).status == 0, "by itself it is a log as good as any"
    said = verified(placet, "--checkpoint", str(kept))
    assert "the log has 4 events, and " in said
    assert "6.checkpoint is of 6: its end was cut off" in said
    served.sealed.kept = 4
    served.sealed.log.alone.clock.pass_(timedelta(seconds=1))
    served.happen(5)  # others in their place
    said = verified(placet, "--anew", "--checkpoint", str(kept))
    assert (
        "6.checkpoint: something from position 5 to 6 was changed, or the tree over it was made anew" in said
    )


def test_to_look_at_every_event_again_is_not_to_forget_what_was_seen(placet: Placet, served: Served) -> None:
    served.happen(6)
    placet("audit", "verify")
    served.rewrite(
        "DELETE FROM audit WHERE position > 4", "UPDATE log_heads SET position = 4 WHERE log = 'audit'"
    )
    assert "has 4 events, and had 6 when it was verified" in verified(placet, "--anew")
    served.sealed.kept = 4
    served.sealed.log.alone.clock.pass_(timedelta(seconds=1))
    served.happen(5)  # others in their place
    for _ in range(2):
        assert "the log is not the one of what was verified here before" in verified(placet, "--anew")
        assert "audit.tamper" in verified(placet), "and not only there"


def test_a_checkpoint_from_before_the_last_audit_is_held_against_it(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    served.happen(3)
    placet("audit", "checkpoint", "--out", str(tmp_path / "3.checkpoint"))
    served.happen(3)
    placet("audit", "verify")
    assert placet("audit", "verify", "--checkpoint", str(tmp_path / "3.checkpoint")).status == 0
    forged = Checkpoint(origin=BASE, size=3, root=b"x" * 32)
    (tmp_path / "3.checkpoint").write_bytes(notes.sign(forged, served.sealed.keys().active().key).to_bytes())
    said = verified(placet, "--checkpoint", str(tmp_path / "3.checkpoint"))
    assert "audit.append-only: the log does not go on where" in said


@pytest.mark.parametrize("content", [b"", b"x", b"\xff"])
def test_a_file_that_holds_no_checkpoint_is_named(
    placet: Placet, served: Served, tmp_path: Path, content: bytes
) -> None:
    served.happen(3)
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "a.checkpoint").write_bytes(content)
    assert "a.checkpoint: this is no signed note" in verified(
        placet, "--checkpoint", str(tmp_path / "a.checkpoint")
    )
    assert "holds no checkpoint" in verified(placet, "--checkpoint", str(empty))
    (empty / "a.checkpoint").write_bytes(content)
    assert "holds no checkpoint" in verified(placet, "--checkpoint", str(empty))


def test_what_is_torn_in_a_folder_of_checkpoints_is_said_and_the_others_are_held_against_the_log(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    served.happen(3)
    kept = tmp_path / "kept"
    kept.mkdir()
    placet("audit", "checkpoint", "--out", str(kept / "3.checkpoint"))
    (kept / "2.checkpoint").write_bytes((kept / "3.checkpoint").read_bytes()[:60])
    answer = placet("audit", "verify", "--checkpoint", str(kept))
    assert answer.status == 0
    assert "2.checkpoint: this is no signed note" in answer.err
    forged = Checkpoint(origin=BASE, size=3, root=b"x" * 32)
    (kept / "3.checkpoint").write_bytes(notes.sign(forged, served.sealed.keys().active().key).to_bytes())
    assert "the log is not the one of" in verified(placet, "--checkpoint", str(kept))


def test_what_the_last_audit_kept_and_somebody_changed_is_told(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    served.happen(3)
    placet("audit", "verify")
    [kept] = (tmp_path / "state" / "placet" / "audits").iterdir()
    kept.write_text("{}")
    said = verified(placet)
    assert "what the last audit kept in" in said
    assert "--log" in said


@pytest.mark.parametrize(
    "audited",
    [
        '{"origin": "x", "size": -1, "peaks": ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}',
        '{"origin": "x", "size": 3, "peaks": []}',
        '{"origin": "x", "size": 1, "peaks": ["AAAA"]}',
        '{"origin": "x", "producers": {"a": {"1": "x"}}}',
        "[" * 100_000,
    ],
)
def test_what_no_audit_keeps_is_told(placet: Placet, served: Served, tmp_path: Path, audited: str) -> None:
    served.happen(3)
    placet("audit", "verify")
    [kept] = (tmp_path / "state" / "placet" / "audits").iterdir()
    kept.write_text(f'{{"keys": ["{served.vkey}"], "audited": {audited}}}')
    for verb in (("verify",), ("verify", "--anew"), ("checkpoint",), ("proof", "1")):
        ended = placet("audit", *verb)
        assert ended.status == 1
        assert "what the last audit kept in" in ended.err


def test_where_nothing_can_be_kept_an_audit_says_so(placet: Placet, served: Served, tmp_path: Path) -> None:
    served.happen(3)
    (tmp_path / "state" / "placet").mkdir(parents=True)
    (tmp_path / "state" / "placet" / "audits").write_text("in the way")
    assert "cannot be" in verified(placet)


def test_a_checkpoint_is_printed_as_it_was_signed(placet: Placet, served: Served) -> None:
    served.happen(3)
    ended = placet("audit", "checkpoint")
    assert ended.out.startswith(f"{BASE}\n3\n")
    assert "no witness sees this log" in ended.err
    assert placet("audit", "checkpoint", "--json").document["size"] == 3


def test_a_proof_holds_without_the_platform(placet: Placet, served: Served, tmp_path: Path) -> None:
    served.happen(300)
    file = tmp_path / "3.tlog-proof"
    ended = placet("audit", "proof", "3", "--out", str(file))
    assert "that placet.gateway.deploy.requested.v1 is at position 3" in ended.out
    proof = InclusionProof.from_bytes(file.read_bytes())
    assert proof.extra is not None
    assert proof.verify(proof.extra, served.sealed.known).size == 300
    assert placet("audit", "proof", "301").status == 1


@pytest.mark.parametrize("verb", [("proof", "3"), ("checkpoint",)])
def test_what_was_kept_is_not_written_over(
    placet: Placet, served: Served, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    served.happen(3)
    kept = tmp_path / "kept"
    kept.write_text("the only one")
    ended = placet("audit", *verb, "--out", str(kept))
    assert (ended.status, kept.read_text()) == (2, "the only one")
    assert f"'{kept}' is there already" in ended.err
    assert "fix: name a file that is not" in ended.err
    kept.unlink()
    assert placet("audit", *verb, "--out", str(kept)).status == 0
    nowhere = placet("audit", *verb, "--out", str(tmp_path / "none" / "kept"))
    assert (nowhere.status, "fix: name a file in a folder" in nowhere.err) == (1, True)
    assert placet("audit", *verb, "--out", "/dev/full").status == 1


def test_what_names_nothing_is_told_with_what_would(placet: Placet, served: Served, tmp_path: Path) -> None:
    served.happen(3)
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "junk.checkpoint").write_text("junk")
    name, number, key = served.sealed.known[0].vkey.split("+", 2)
    other = f"{name}+{'0' * 8}+{key}"
    for asked, status, said, fix in (
        (("proof", "xx"), 1, "no event 'xx' is in the audit log", "`placet events` has the `id` of each"),
        (("proof", "0"), 2, "the audit log has no position 0", "they begin at 1"),
        (("verify", "--log", "bad"), 1, "'bad' is no verifier key", "a verifier key is NAME+ID+KEY"),
        (("verify", "--log", "a+b+c"), 1, "the key in 'a+b+c' is not base64", "NAME+ID+KEY"),
        (("verify", "--log", other), 1, f"has the id {number}, not '00000000'", "copy it whole"),
        (("verify", "--checkpoint", "none"), 1, "none cannot be read: No such file", "--out FILE` wrote"),
        (("verify", "--checkpoint", "junk"), 1, "junk: this is no signed note", "--out FILE` wrote"),
        (("verify", "--checkpoint", "folder"), 1, "folder holds no checkpoint", "files that end in"),
        (
            ("verify", "--policy", "none"),
            1,
            "the trust policy none cannot be read",
            "name a file with a line",
        ),
    ):
        ended = placet("audit", *asked)
        assert (ended.status, said in ended.err) == (status, True), (asked, ended.err)
        assert fix in ended.err.partition("  fix: ")[2], (asked, ended.err)


# Witnesses.


class Witnessed:
    """A log with witnesses, and the policy of somebody who verifies."""

    def __init__(self, served: Served, folder: Path, names: Sequence[str]) -> None:
        self._served = served
        self._folder = folder
        self.clock = Clock(datetime.now(UTC))  # noqa: TID251 - the command's is the machine's, too
        self._open = {
            name: Opened(folder / name, logs=served.sealed.known, name=name, clock=self.clock).open()
            for name in names
        }

    def show(self, *names: str) -> None:
        """The newest checkpoint to these."""

        async def tell() -> None:
            for name in names:
                await Witnessing(
                    self._served.sealed.log.alone.wiring, InProcess(name, self._open[name])
                ).tell()

        self._served.do(tell)

    def policy(self, quorum: str) -> Path:
        vkeys = {name: (self._folder / name / "vkey").read_text().strip() for name in self._open}
        lines = [f"log {self._served.vkey}", *(f"witness {name} {vkey}" for name, vkey in vkeys.items())]
        file = self._folder / "log.policy"
        file.write_text("\n".join([*lines, f"group all all {' '.join(vkeys)}", f"quorum {quorum}", ""]))
        return file


@dataclass
class InProcess:
    """The `Witness` port over a witness of this process."""

    pace = timedelta()
    name: str
    witness: Witness

    async def show(self, proof: ConsistencyProof) -> Signature | Knows:
        try:
            return self.witness.add_checkpoint(str(proof).encode())
        except OtherSize as error:
            return Knows(size=error.size)


def test_a_log_that_enough_witnesses_have_seen_holds(placet: Placet, served: Served, tmp_path: Path) -> None:
    witnessed = Witnessed(served, tmp_path, ["w1", "w2"])
    served.happen(3)
    witnessed.show("w1", "w2")
    served.happen(3)  # which they have not seen yet
    ended = placet("audit", "verify", "--policy", str(witnessed.policy("all")), "--json")
    assert ended.status == 0, ended.err
    assert f"w1 saw the log with 3 events at {witnessed.clock.at:%Y-%m-%dT%H:%M:%S}" in ended.err
    assert ended.document["size"] == 6
    assert ended.document["agreed"][0] == "the checkpoint of 3 events that witnesses cosigned"


def test_one_that_too_few_have_seen_does_not(placet: Placet, served: Served, tmp_path: Path) -> None:
    witnessed = Witnessed(served, tmp_path, ["w1", "w2"])
    served.happen(3)
    witnessed.show("w1")
    said = verified(placet, "--policy", str(witnessed.policy("all")))
    assert "audit.witnesses: no checkpoint of this log is cosigned as the policy asks" in said
    assert placet("audit", "verify", "--policy", str(witnessed.policy("w1"))).status == 0


@pytest.mark.parametrize("days", [-2, 2])
def test_what_witnesses_saw_long_ago_or_will_see_some_day_is_not_enough(
    placet: Placet, served: Served, tmp_path: Path, days: int
) -> None:
    """Whoever hides what came since has that cosignature to show for ever."""
    witnessed = Witnessed(served, tmp_path, ["w1", "w2"])
    served.happen(3)
    witnessed.show("w1")
    witnessed.clock.turn(days=days)
    witnessed.show("w2")
    policy = str(witnessed.policy("all"))
    said = verified(placet, "--policy", policy)
    assert "audit.witnesses: the checkpoint of" in said
    assert "nobody outside says that the log is still this one" in said
    longer = placet("audit", "verify", "--policy", policy, "--max-age", "3d")
    assert longer.status == (0 if days < 0 else 1), longer.err
    assert placet("audit", "verify", "--policy", str(witnessed.policy("w1"))).status == 0


def test_how_long_ago_is_asked_of_witnesses_only(placet: Placet, served: Served) -> None:
    served.happen(3)
    assert "no witness is asked for" in verified(placet, "--max-age", "3d")


def test_a_log_that_stands_still_is_cosigned_again(placet: Placet, served: Served, tmp_path: Path) -> None:
    witnessed = Witnessed(served, tmp_path, ["w1"])
    served.happen(3)
    witnessed.clock.turn(days=-2)
    witnessed.show("w1")
    policy = str(witnessed.policy("w1"))
    assert "audit.witnesses" in verified(placet, "--policy", policy)
    witnessed.clock.turn(days=2)
    served.sealed.log.alone.clock.pass_(timedelta(hours=1))
    witnessed.show("w1")
    assert placet("audit", "verify", "--policy", policy).status == 0


def test_a_fork_that_was_shown_to_one_witness_only_is_found_by_whoever_asks_the_honest_one(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    """Somebody with the log's key and database shows one witness another history, and everybody who verifies."""
    witnessed = Witnessed(served, tmp_path, ["deceived", "honest"])
    served.happen(6)
    witnessed.show("honest")
    served.rewrite(
        "DELETE FROM audit WHERE position > 4",
        "UPDATE log_heads SET position = 4 WHERE log = 'audit'",
        "DELETE FROM audit_witnesses",
    )
    served.sealed.kept = 4
    served.sealed.log.alone.clock.pass_(timedelta(seconds=1))
    served.happen(5)
    witnessed.show("deceived", "honest", "honest")
    assert placet("audit", "verify", "--policy", str(witnessed.policy("deceived"))).status == 0
    said = verified(placet, "--anew", "--policy", str(witnessed.policy("all")))
    assert "audit.witnesses" in said
    assert "honest has seen 6 of 9 events" in placet("audit", "checkpoint").err


# A platform that answers an auditor with something else.


@contextmanager
def lying(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    lies: Mapping[str, bytes | Callable[[], Iterable[bytes]]],
    packed: str | None = None,
) -> Iterator[None]:
    """In front of the log: what it answers, but for the paths in `lies`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1/audit/")
            headers = {name: self.headers[name] for name in ("authorization", "accept") if self.headers[name]}
            answer = httpx.get(f"{served.url}{self.path}", headers=headers)
            lie = lies.get(path, answer.content)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            if packed is not None and path in lies:
                self.send_header("content-encoding", packed)
            if isinstance(lie, bytes):
                self.send_header("content-length", str(len(lie)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                for part in [lie] if isinstance(lie, bytes) else lie():
                    self.wfile.write(part)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PLACET_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("entries", b"x" * 4_000_000, "sends an entry of the audit log that does not end"),
        ("entries", b"x\n", "sends no entries of an audit log"),
        ("entries", b"\xff\n", "sends no entries of an audit log"),
        ("entries", b"\n", "empty lines in place of"),
        (
            "entries",
            b'{"position":1,"producer":"gateway","epoch":"1","producerPosition":1,"event":{}}\n\r\n',
            "empty lines in place of",
        ),
        (
            "entries",
            b'\n{"position":1,"producer":"gateway","epoch":"1","producerPosition":1,"event":{}}'
            b'{"position":2,"producer":"gateway","epoch":"1","producerPosition":2,"event":{}}\n',
            "empty lines in place of",
        ),
        ("entries", b"[" * 100_000 + b"\n", "sends no entries of an audit log"),
        ("entries", b"", "the log ends at position 0, and a checkpoint of 3 events is signed"),
        (
            "entries",
            b'{"position":1,"producer":"gateway","epoch":"1","producerPosition":1,"event":{}}\n',
            "position 1",
        ),
        ("checkpoint", b"placet.example/audit\n3\nAAAA\n", "no signed note"),
        ("checkpoint", b"\x1b[2J" * 30_000, "over the limit"),
        ("keys", b'{"origin":"other.example","keys":[]}', "this platform's log is called other"),
        ("keys", b"[]", "platform"),
        ("keys", b'{"x":' + b"[" * 100_000, "the platform's answer is no logkeys"),
    ],
)
def test_what_is_no_log_is_not_said_to_hold(
    placet: Placet, served: Served, monkeypatch: pytest.MonkeyPatch, path: str, answer: bytes, said: str
) -> None:
    served.happen(3)
    with lying(served, monkeypatch, {path: answer}):
        told = verified(placet, "--log", served.vkey)
    assert said in told
    assert "\x1b" not in told


@pytest.mark.parametrize("path", ["keys", "checkpoint", "entries"])
def test_what_cannot_be_unpacked_is_told(
    placet: Placet, served: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    served.happen(3)
    with lying(served, monkeypatch, {path: b"x" * 100}, packed="gzip"):
        assert "sends what cannot be unpacked" in verified(placet, "--log", served.vkey)


def test_a_proof_of_something_else_or_of_nothing_is_not_kept(
    placet: Placet, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.happen(5)
    placet("audit", "verify", "--log", served.vkey)
    of_two, file = placet("audit", "proof", "2").out.encode(), tmp_path / "3.tlog-proof"
    hashes = of_two.split(b"\n")
    hashes[3] = hashes[4]
    for lie, said in ((of_two, "proves another event"), (b"\n".join(hashes), "proves nothing")):
        with lying(served, monkeypatch, {"proof": lie}):
            ended = placet("audit", "proof", "3", "--log", served.vkey, "--out", str(file))
        assert ended.status == 1
        assert said in ended.err
        assert not file.exists()


def test_a_checkpoint_that_the_log_did_not_sign_is_not_kept(
    placet: Placet, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.happen(3)
    forged = notes.sign(Checkpoint(origin=BASE, size=3, root=b"x" * 32), SigningKey.generate())
    with lying(served, monkeypatch, {"checkpoint": forged.to_bytes()}):
        ended = placet("audit", "checkpoint", "--log", served.vkey, "--out", str(tmp_path / "kept"))
    assert ended.status == 1
    assert "by no key of that log that is known" in ended.err
    assert not (tmp_path / "kept").exists()


def test_a_log_that_was_changed_is_not_searched_without_end(
    placet: Placet, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What differs is looked for among what was signed, however much the platform goes on to say."""
    served.happen(3)
    served.change(2)
    with httpx.Client(timeout=60, headers={"authorization": f"Bearer {served.sealed.log.token()}"}) as http:
        entries = http.get(f"{served.url}/v1/audit/entries", headers={"accept": "application/jsonl"}).content
    asked = count(1)

    def answer() -> Iterable[bytes]:
        yield entries
        if next(asked) > 1:
            last = entries.splitlines()[-1]
            yield from (last.replace(b'"position":3,', b'"position":%d,' % at) + b"\n" for at in count(4))

    with lying(served, monkeypatch, {"entries": answer}):
        assert "something from position 1 to 3 was changed" in verified(placet, "--log", served.vkey)
    assert next(asked) > 2


def test_a_proof_that_leads_to_another_history_proves_nothing_of_this_one(
    placet: Placet, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two histories of one log, with its key: what is proved has to be the very one that is verified."""
    served.happen(3)
    first = served.do(served.sealed.hashes)
    fork = [*first, leaf_hash(b"other")]
    key = served.sealed.keys().active().key
    kept = notes.sign(Checkpoint(origin=BASE, size=4, root=root_of(fork)), key)
    (tmp_path / "4.checkpoint").write_bytes(kept.to_bytes())
    longer = [*fork, leaf_hash(b"more")]
    proof = ConsistencyProof(
        old=4,
        hashes=tuple(root_of(longer[start:end]) for start, end in consistency(4, 5)),
        checkpoint=notes.sign(Checkpoint(origin=BASE, size=5, root=root_of(longer)), key),
    )
    served.happen(3)
    placet("audit", "verify", "--log", served.vkey)
    with lying(served, monkeypatch, {"proof": str(proof).encode()}):
        placet("audit", "verify", "--log", served.vkey)
        said = verified(placet, "--log", served.vkey, "--checkpoint", str(tmp_path / "4.checkpoint"))
    assert "4.checkpoint is another checkpoint than the one that is verified" in said


def test_a_number_that_is_no_position_is_looked_for_as_an_event(placet: Placet, served: Served) -> None:
    served.happen(1)
    assert placet("audit", "proof", "9" * 5000).status == 1
    assert placet("audit", "proof", "0").status == 2, "not even that"


def test_more_than_was_asked_for_is_refused(
    placet: Placet, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that does not end where its checkpoint does might not end at all."""
    served.happen(3)
    with httpx.Client(timeout=60, headers={"authorization": f"Bearer {served.sealed.log.token()}"}) as http:
        checkpoint = http.get(f"{served.url}/v1/audit/checkpoint").content
        served.happen(3)
        entries = http.get(f"{served.url}/v1/audit/entries", headers={"accept": "application/jsonl"}).content
    with lying(served, monkeypatch, {"checkpoint": checkpoint, "entries": entries}):
        assert "goes on behind position 3, which was not asked for" in verified(placet, "--log", served.vkey)


def test_a_platform_that_has_its_data_elsewhere_mends_nothing(
    placet: Placet, served: Served, tmp_path: Path
) -> None:
    """Its log would be folded into what the one in that folder shows."""
    served.happen(3)
    keys = tmp_path / "elsewhere" / "keys"
    keys.mkdir(parents=True)
    OwnKeys(keys / "checkpoints.pem", ManualClock().now).begin()
    ended = placet("audit", "rebuild", "gateway", "--data", str(tmp_path / "elsewhere"))
    assert ended.status == 1
    assert (
        f"the platform at {served.url} has its data elsewhere than in {tmp_path / 'elsewhere'}" in ended.err
    )
