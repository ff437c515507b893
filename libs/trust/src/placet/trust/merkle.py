"""A Merkle tree over the leaves of a log, as RFC 6962, section 2.1, defines it.

What is proved: that a leaf is in a tree (`inclusion`), and that one tree goes on where another ended (`consistency`).
A tree is known by its size and its root alone. Everything here is pure: where hashes are kept, and how one comes by
those that a proof needs, is `tiles.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from placet.errors import Refused

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
MAX_PROOF_HASHES = 64
"""A proof in a tree of 2**63 leaves has 63."""


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over hashes of equal height, whose number is a power of two."""
    while len(hashes) > 1:
        hashes = [sha256(b"\x01" + hashes[i] + hashes[i + 1]).digest() for i in range(0, len(hashes), 2)]
    return hashes[0]


def folded(peaks: Sequence[bytes]) -> bytes:
    """The root over perfect trees that stand side by side, each smaller than the one before it."""
    root = peaks[-1]
    for left in reversed(peaks[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves, all of them at hand."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


class Frontier:
    """A tree that grows, in constant memory: of what it has only the roots of its perfect parts are kept.

    `peaks` are these, largest first: one for each bit that is set in `size`.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if size < 0:
            raise Refused(f"no tree has {size} leaves")
        if len(self.peaks) != size.bit_count():
            raise Refused(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self.peaks)}")

    def append(self, leaf: bytes) -> None:
        """Add the hash of one leaf."""
        peaks, size = self.peaks, self.size
        while size & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        return folded(self.peaks) if self.peaks else EMPTY_ROOT


class Node(NamedTuple):
    """The root of a perfect subtree: over the leaves from `number << height` on, `1 << height` of them."""

    height: int
    number: int


Span = tuple[int, int]
"""Leaves from the first up to and without the second; their root is a hash of a proof."""


def nodes_of(span: Span) -> list[Node]:
    """The perfect subtrees that `span` falls into, from left to right: what its root is folded from."""
    start, end = span
    nodes = []
    for height in reversed(range((end - start).bit_length())):
        if (end - start) >> height & 1:
            nodes.append(Node(height, start >> height))
            start += 1 << height
    return nodes


def inclusion(index: int, size: int) -> list[Span]:
    """Whose roots prove that leaf `index` is in the tree of `size` leaves: from its sibling up. RFC 6962, 2.1.1."""
    if not 0 <= index < size:
        raise Refused(f"there is no leaf {index} in a tree of {size}")
    start, end, spans = 0, size, list[Span]()
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency(old: int, size: int) -> list[Span]:
    """Whose roots prove that the tree of `size` leaves begins with that of `old`. RFC 6962, 2.1.2."""
    if not 0 <= old <= size:
        raise Refused(
            f"a tree of {size} leaves does not begin with one of {old}",
            fix="the log was longer once, or it is another one: `placet audit checkpoint` says how long it is",
        )
    if old in (0, size):
        return []
    start, end, spans = 0, size, list[Span]()
    while end != old:
        middle = start + _half(end - start)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start > 0:
        spans.append((start, end))  # otherwise it is the old tree itself, whose root the verifier has
    return spans[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises Refused unless `proof` leads from the leaf's hash to `root`. RFC 9162, 2.1.3.2, gives the steps."""
    if not 0 <= index < size:
        raise Refused(f"the proof is of leaf {index}, and the tree has {size}")
    if len(leaf) != HASH_BYTES:
        raise Refused(f"the hash of a leaf has {HASH_BYTES} bytes, this one {len(leaf)}")
    at, last, reached = index, size - 1, leaf
    for each in proof:
        if last == 0:
            raise Refused("the proof of inclusion has more hashes than the tree is high")
        if at & 1 or at == last:
            reached = node_hash(each, reached)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            reached = node_hash(reached, each)
        at, last = at >> 1, last >> 1
    if last != 0 or reached != root:
        raise Refused(
            f"the proof of inclusion of leaf {index} does not lead to the root of the tree of {size}"
        )


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises Refused unless the tree of `size` begins with that of `old`. RFC 9162, 2.1.4.2, gives the steps."""
    if old > size:
        raise Refused(f"the tree has {size} leaves, and had {old} before: its end was cut off")
    if old in (0, size):
        if proof:
            raise Refused(
                f"between trees of {old} and {size} leaves there is nothing to prove, and here is a proof"
            )
        if (old == 0 and old_root != EMPTY_ROOT) or (old == size and old_root != root):
            raise Refused(f"two trees of {old} leaves have different roots: one of them was rewritten")
        return
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        raise Refused(f"nothing proves that the tree of {size} leaves begins with that of {old}")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_reached = reached = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise Refused("the proof of consistency has more hashes than the tree is high")
        if at & 1 or at == last:
            old_reached, reached = node_hash(each, old_reached), node_hash(each, reached)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            reached = node_hash(reached, each)
        at, last = at >> 1, last >> 1
    if last != 0 or old_reached != old_root or reached != root:
        raise Refused(
            f"the tree of {size} leaves does not begin with that of {old}: what was there was rewritten"
        )


def _half(leaves: int) -> int:
    """The largest power of two below `leaves`."""
    return 1 << (leaves - 1).bit_length() - 1
