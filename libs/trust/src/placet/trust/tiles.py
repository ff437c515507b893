"""A Merkle tree in tiles of 256 hashes, as C2SP's tlog-tiles has them: written once when full, never again.

Level 0 holds hashes of leaves, each level above it the roots of the full tiles below. The tiles at the tree's right
edge are not full yet: they need not be kept, since they are made again from what is full below them and from the last
leaves. Every hash of every proof, for the tree of any earlier size too, is the root over a part of one tile or is
folded from several (`merkle.Node`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from placet.errors import Refused, Unreadable
from placet.trust.merkle import EMPTY_ROOT, HASH_BYTES, Node, Span, folded, nodes_of, perfect_root

HEIGHT = 8
WIDTH = 1 << HEIGHT
_PAIR = 2 * HASH_BYTES
MAX_LEVEL = 7
"""Above it a tree would have more than 2**63 leaves."""


class Place(NamedTuple):
    """Which tile."""

    level: int
    number: int


class Tile(NamedTuple):
    """A full one."""

    level: int
    number: int
    hashes: bytes
    """One after the other."""
    root: bytes

    @classmethod
    def of(cls, level: int, number: int, hashes: Sequence[bytes]) -> Tile:
        return cls(level, number, b"".join(hashes), perfect_root(hashes))


def width(place: Place, size: int) -> int:
    """How many hashes the tile has in a tree of `size` leaves: 0 where there is none, `WIDTH` where it is full."""
    return max(0, min(WIDTH, (size >> HEIGHT * place.level) - place.number * WIDTH))


def edge_of(size: int) -> list[Place]:
    """The tiles of the right edge, from level 0 up to the root; some may have no hash yet."""
    if size < 0:
        raise Refused(f"no tree has {size} leaves")
    places = [Place(0, size >> HEIGHT)]
    while places[-1].number:
        level = len(places)
        places.append(Place(level, size >> HEIGHT * (level + 1)))
    return places


class Edge:
    """The right edge of a tree, which leaves are added to. `rows` are the hashes of its tiles, from level 0 up."""

    def __init__(self, size: int = 0, rows: Iterable[Sequence[bytes]] = ()) -> None:
        self.size = size
        self.rows = [list(row) for row in rows]
        widths = [width(place, size) for place in edge_of(size)]
        found = [len(row) for row in self.rows]
        if found + [0] * (len(widths) - len(found)) != widths:
            raise Unreadable(f"the edge of a tree of {size} leaves has {widths} hashes, and not {found}")

    def extend(self, leaves: Iterable[bytes]) -> list[Tile]:
        """Add hashes of leaves, and return the tiles that are full now, those below before those above."""
        full: list[Tile] = []
        following = iter(leaves)
        while row := list(islice(following, WIDTH - self.size % WIDTH)):
            self._add(0, row, full)
            self.size += len(row)
        return full

    def _add(self, level: int, more: Sequence[bytes], full: list[Tile]) -> None:
        """No more than the tile at the edge of this level has room for."""
        if level == len(self.rows):
            self.rows.append([])
        row = self.rows[level]
        row.extend(more)
        if len(row) == WIDTH:
            number = (self.size >> HEIGHT * level) // WIDTH
            tile = Tile.of(level, number, row)
            full.append(tile)
            row.clear()
            self._add(level + 1, [tile.root], full)

    def root(self) -> bytes:
        peaks: list[bytes] = []
        for row in reversed(self.rows):
            for node in nodes_of((0, len(row))):
                peaks.append(perfect_root(_part(row, node)))
        return folded(peaks) if peaks else EMPTY_ROOT


def _part(row: Sequence[bytes], node: Node) -> Sequence[bytes]:
    return row[node.number << node.height : (node.number + 1) << node.height]


def places_of(spans: Iterable[Span]) -> set[Place]:
    """The tiles that hold what the roots of `spans` are made from."""
    return {_place(node) for span in spans for node in nodes_of(span)}


def roots_of(spans: Iterable[Span], tiles: Mapping[Place, bytes]) -> list[bytes]:
    """The root of each span, from the tiles that `places_of` names, as far as they are full. Raises Unreadable."""
    spans = list(spans)
    return roots_in(spans, {place: heights_of(tiles[place]) for place in places_of(spans) if place in tiles})


Heights = Sequence[bytes]
"""All hashes that a tile stands for, one height after the other: its own, and those between them and its root."""


def heights_of(tile: bytes) -> Heights:
    """Of one that is not full as far as it goes. Whoever asks for most of a tile's roots needs each of these once."""
    heights = [tile]
    while len(heights) < HEIGHT:
        below = heights[-1]
        pairs = range(0, len(below) // _PAIR * _PAIR, _PAIR)
        heights.append(b"".join([sha256(b"\x01" + below[at : at + _PAIR]).digest() for at in pairs]))
    return heights


def roots_in(spans: Iterable[Span], tiles: Mapping[Place, Heights]) -> list[bytes]:
    """As `roots_of`, for who has the heights of tiles already."""
    return [folded([_root(node, tiles) for node in nodes_of(span)]) for span in spans]


def _place(node: Node) -> Place:
    level, height = divmod(node.height, HEIGHT)
    return Place(level, (node.number << height) // WIDTH)


def _root(node: Node, tiles: Mapping[Place, Heights]) -> bytes:
    place = _place(node)
    height = node.height % HEIGHT
    at = node.number % (WIDTH >> height) * HASH_BYTES
    found = tiles[place][height][at : at + HASH_BYTES] if place in tiles else b""
    if len(found) != HASH_BYTES:
        raise Unreadable(f"tile {place.number} of level {place.level} is not there, or ends too early")
    return found


def path_of(place: Place) -> str:
    """As a URL has it below `tile/`: `1/x001/x234/067`."""
    return f"{place.level}/{number_path(place.number)}"


def number_path(number: int) -> str:
    """In groups of three digits, all but the last with an x before it."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))


def number_in(path: str) -> int:
    """What `number_path` made. Raises Refused for anything else: a tile has one address."""
    digits = path.replace("/", "").replace("x", "")
    if digits.isdecimal() and digits.isascii() and len(digits) <= 21 and number_path(int(digits)) == path:
        return int(digits)
    raise Refused(f"{path!r} is no number of a tile", fix="groups of three digits, as in x001/x234/067")
