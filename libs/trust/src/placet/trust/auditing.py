"""Is the log that we are shown the one that was signed, whole, and the one that others were shown before?

An auditor takes every event in the log's order, as bytes, and believes nothing else: it makes the leaves and the tree
from them, and sees for itself that each producer's positions are whole. What it found is held against signed
checkpoints, of now and of before, wherever they were kept. Memory does not grow with the log: of the tree it keeps one
hash for each bit of its size, of each producer where its log stands. That is also all that has to be kept to go on
another day.

What this module does not do: fetch anything, or decide whose keys to trust. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust.checkpoints import Checkpoint
from placet.trust.encoding import decoded
from placet.trust.leaves import Leaf
from placet.trust.merkle import HASH_BYTES, Frontier, leaf_hash

MOST_EPOCHS = 100_000
NOT_AS_IT_WAS = (
    "believe nothing of it: ask who serves it, and compare it with a checkpoint that was kept elsewhere"
)


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One event as the log tells it: its places, and its canonical bytes as they are."""

    position: int
    producer: str
    epoch: str
    producer_position: int
    event: msgspec.Raw

    def leaf(self) -> Leaf:
        """Raises Unreadable where the bytes are no event."""
        return Leaf.of(
            bytes(self.event),
            position=self.position,
            producer=self.producer,
            epoch=self.epoch,
            producer_position=self.producer_position,
        )


class Known(NamedTuple):
    """A checkpoint that somebody kept, whose signature was looked at."""

    checkpoint: Checkpoint
    kept_by: str
    """Who or what, in words."""


class Said(NamedTuple):
    """What a producer says that its own store has of its latest epoch, up to a position."""

    producer: str
    epoch: str
    position: int
    digest: bytes


class Chained(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One digest over a producer's events of an epoch, in their order: `placet.events.chain` has the same."""

    epoch: str
    position: int
    digest: str
    """In hex."""

    @classmethod
    def begin(cls, producer: str, epoch: str, began_after: int) -> Chained:
        head = f"placet.dev/log-chain/v1\n{producer}\n{epoch}\n{began_after}\n"
        return cls(epoch=epoch, position=began_after, digest=sha256(head.encode()).hexdigest())


class Audited(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to keep of an audit, to go on from there."""

    origin: str
    size: int = 0
    peaks: tuple[str, ...] = ()
    """Hashes in base64, as in `merkle.Frontier`."""
    producers: Mapping[str, Mapping[str, int]] = {}
    """By producer and epoch: the last position that the log has of it."""
    chains: Mapping[str, Chained] = {}
    """Of each producer's latest epoch."""

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def from_json(cls, data: bytes) -> Audited:
        """Raises Unreadable."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"this is nothing that an audit kept: {error}") from error


class _Chain:
    """`Chained`, as it grows: an event costs no more than its hash."""

    __slots__ = ("epoch", "position", "value")

    def __init__(self, epoch: str, position: int, value: bytes) -> None:
        self.epoch, self.position, self.value = epoch, position, value

    @classmethod
    def of(cls, kept: Chained) -> _Chain:
        try:
            return cls(kept.epoch, kept.position, bytes.fromhex(kept.digest))
        except ValueError as error:
            raise Unreadable("what an audit kept has a digest that is none") from error

    def kept(self) -> Chained:
        return Chained(epoch=self.epoch, position=self.position, digest=self.value.hex())


class Auditor:
    """Goes through a log. `known` are held against it as it comes to their sizes."""

    def __init__(self, begun: Audited, known: Iterable[Known] = (), said: Iterable[Said] = ()) -> None:
        peaks = [decoded(each, "a hash that an audit kept") for each in begun.peaks]
        if any(len(each) != HASH_BYTES for each in peaks):
            raise Unreadable("what an audit kept has hashes of another length")
        self.origin = begun.origin
        self._tree = Frontier(begun.size, peaks)
        self._producers = {producer: dict(epochs) for producer, epochs in begun.producers.items()}
        self._epochs = sum(map(len, self._producers.values()))
        self._chains = {name: _Chain.of(each) for name, each in begun.chains.items()}
        self.said = {each.producer: each for each in said}
        """By producer."""
        self.stores: dict[str, bool] = {}
        """Of producers whose word on their own stores was compared: whether they have the same."""
        for name in self._chains:
            self._compare(name)
        self._known: dict[int, list[Known]] = {}
        for each in known:
            if each.checkpoint.origin != self.origin:
                raise Refused(f"{each.kept_by} is of {each.checkpoint.origin}, and the log is {self.origin}")
            self._known.setdefault(each.checkpoint.size, []).append(each)
        self.agreed: list[Known] = []
        """Those that the log agrees with, as far as it was gone through."""
        self.contradicted: list[Known] = []
        self._look()

    @property
    def size(self) -> int:
        return self._tree.size

    def take(self, entries: Iterable[Entry]) -> list[bytes]:
        """Go on by these, and return the hashes of their leaves. Raises Refused at the first that is out of place."""
        hashes = []
        tree, known = self._tree, self._known
        for entry in entries:
            begins = self._place(entry)
            record = entry.leaf()
            self._chain(entry, record.digest, begins=begins)
            leaf = leaf_hash(record.to_bytes())
            hashes.append(leaf)
            tree.append(leaf)
            if tree.size in known:
                self._look()
        return hashes

    def root(self) -> bytes:
        return self._tree.root()

    def checkpoint(self) -> Checkpoint:
        """Of the log so far, as whoever went through it would sign it."""
        return Checkpoint(origin=self.origin, size=self.size, root=self.root())

    def kept(self) -> Audited:
        return Audited(
            origin=self.origin,
            size=self._tree.size,
            peaks=tuple(base64.b64encode(each).decode() for each in self._tree.peaks),
            producers=self._producers,
            chains={name: each.kept() for name, each in self._chains.items()},
        )

    def unreached(self) -> list[Known]:
        """Those of a log longer than this one."""
        return [each for size in sorted(self._known) if size > self.size for each in self._known[size]]

    def uncompared(self) -> dict[str, Said]:
        """What producers said of which this log has not as much yet, or of which nothing was kept to go on from."""
        return {name: each for name, each in self.said.items() if name not in self.stores}

    def _chain(self, entry: Entry, digest: str, *, begins: bool) -> None:
        if begins:
            begun = Chained.begin(entry.producer, entry.epoch, entry.producer_position - 1)
            self._chains[entry.producer] = _Chain.of(begun)
        chain = self._chains.get(entry.producer)
        if chain is None or (chain.epoch, chain.position + 1) != (entry.epoch, entry.producer_position):
            return  # an audit that kept nothing of it goes on in the middle; or an earlier epoch that still comes
        chain.value = sha256(chain.value + bytes.fromhex(digest[7:])).digest()
        chain.position += 1
        if entry.producer in self.said:
            self._compare(entry.producer)

    def _compare(self, producer: str) -> None:
        chain, said = self._chains[producer], self.said.get(producer)
        if said is not None and (said.epoch, said.position) == (chain.epoch, chain.position):
            self.stores[producer] = said.digest == chain.value

    def _look(self) -> None:
        """Hold the checkpoints of this size against the tree."""
        for each in self._known.get(self._tree.size, ()):
            agrees = each.checkpoint.root == self._tree.root()
            (self.agreed if agrees else self.contradicted).append(each)

    def _place(self, entry: Entry) -> bool:
        """Whether its epoch begins with it."""
        if entry.position != self._tree.size + 1:
            raise Refused(
                f"after position {self._tree.size} the log goes on with {entry.position}",
                rule="audit.contiguous",
                fix=NOT_AS_IT_WAS,
            )
        epochs = self._producers.setdefault(entry.producer, {})
        last = epochs.get(entry.epoch)
        if last is None:
            # Whoever was restored goes on where its copy ended: before what it had said since, and not behind that.
            self._begin()
            furthest = max(epochs.values(), default=0)
            if not 1 <= entry.producer_position <= furthest + 1:
                raise self._hole(entry, furthest)
        elif entry.producer_position != last + 1:
            raise self._hole(entry, last)
        epochs[entry.epoch] = entry.producer_position
        return last is None

    def _begin(self) -> None:
        """A log that names ever other producers would have the auditor remember them all."""
        self._epochs += 1
        if self._epochs > MOST_EPOCHS:
            raise Refused(
                f"the log has more than {MOST_EPOCHS} producers and epochs of them: no platform has",
                fix=NOT_AS_IT_WAS,
            )

    def _hole(self, entry: Entry, last: int) -> Refused:
        return Refused(
            f"position {entry.position} is the event {entry.producer_position} of {entry.producer},"
            f" where {last + 1} comes next: something was removed, inserted or swapped",
            rule="audit.contiguous",
            fix=NOT_AS_IT_WAS,
        )


def first_difference(hashes: Sequence[bytes], tile: bytes) -> int | None:
    """The index of the first of `hashes` that a level-0 tile has otherwise, or not at all."""
    for index, each in enumerate(hashes):
        if tile[index * HASH_BYTES : (index + 1) * HASH_BYTES] != each:
            return index
    return None
