"""Tiles as C2SP's tlog-tiles has them: every root and every proof comes from what is written once."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placet.errors import Refused, Unreadable
from placet.trust import merkle, tiles
from placet.trust.merkle import Frontier
from placet.trust.tiles import Edge, Place, Tile

LEAVES = [sha256(b"%d" % at).digest() for at in range(70_000)]
SIZES = st.integers(1, len(LEAVES))


def written(size: int) -> tuple[Edge, dict[Place, bytes]]:
    edge = Edge()
    return edge, {Place(tile.level, tile.number): tile.hashes for tile in edge.extend(LEAVES[:size])}


def with_edge(edge: Edge, full: dict[Place, bytes]) -> dict[Place, bytes]:
    places = tiles.edge_of(edge.size)
    return {**full, **{place: b"".join(row) for place, row in zip(places, edge.rows, strict=False)}}


EDGE, FULL = written(len(LEAVES))
ALL = with_edge(EDGE, FULL)


def root_of(size: int) -> bytes:
    tree = Frontier()
    tree.extend(LEAVES[:size])
    return tree.root()


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    """`For example, a tree of size 70,000 …`"""
    assert sum(place.level == 0 for place in FULL) == 273
    assert sum(place.level == 1 for place in FULL) == 1
    assert [len(row) for row in EDGE.rows] == [112, 17, 1]
    assert [tiles.width(place, 70_000) for place in tiles.edge_of(70_000)] == [112, 17, 1]


@pytest.mark.parametrize(
    ("size", "widths"), [(0, [0]), (1, [1]), (255, [255]), (256, [0, 1]), (65_536, [0, 0, 1])]
)
def test_the_right_edge_has_a_tile_of_each_level(size: int, widths: list[int]) -> None:
    edge, _ = written(size)
    assert [tiles.width(place, size) for place in tiles.edge_of(size)] == widths
    assert [len(row) for row in edge.rows] == widths[: len(edge.rows)]
    assert edge.root() == root_of(size)


@settings(max_examples=40, deadline=None)
@given(SIZES.flatmap(lambda size: st.tuples(st.integers(0, size), st.just(size))))
def test_an_edge_goes_on_from_what_was_written_below_it(sizes: tuple[int, int]) -> None:
    """As after a restart: the rows come from the roots of full tiles, and from the last leaves."""
    first, size = sizes
    _, full = written(first)
    rows: list[list[bytes]] = [LEAVES[first // 256 * 256 : first]]
    for place in tiles.edge_of(first)[1:]:
        below = range(place.number * 256, (first >> 8 * place.level))
        hashes = (full[Place(place.level - 1, number)] for number in below)
        rows.append(
            [Tile.of(0, 0, [each[at : at + 32] for at in range(0, 8192, 32)]).root for each in hashes]
        )
    again = Edge(first, rows)
    again.extend(LEAVES[first:size])
    assert again.root() == root_of(size)


def test_an_edge_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(Unreadable, match="a tree of 300 leaves"):
        Edge(300, [LEAVES[:43], LEAVES[:1]])


@settings(max_examples=200, deadline=None)
@given(SIZES.flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_proofs_of_any_earlier_size_come_from_the_tiles_of_today(at: tuple[int, int]) -> None:
    index, size = at
    [root, old_root] = tiles.roots_of([(0, size), (0, index + 1)], ALL)
    inclusion = merkle.inclusion(index, size)
    assert tiles.places_of(inclusion) <= set(ALL)
    merkle.verify_inclusion(LEAVES[index], index, size, tiles.roots_of(inclusion, ALL), root)
    consistency = tiles.roots_of(merkle.consistency(index + 1, size), ALL)
    merkle.verify_consistency(index + 1, old_root, size, root, consistency)


def test_a_proof_needs_few_tiles() -> None:
    size = 5_000_000
    assert max(len(tiles.places_of(merkle.inclusion(index, size))) for index in range(0, size, 9_973)) <= 6


def test_a_tile_that_is_not_there_is_named() -> None:
    [place] = tiles.places_of([(256, 512)])
    with pytest.raises(Unreadable, match=f"tile {place.number} of level {place.level}"):
        tiles.roots_of([(256, 512)], {})


@pytest.mark.parametrize(
    ("number", "path"), [(0, "000"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")]
)
def test_a_tile_has_one_address(number: int, path: str) -> None:
    assert tiles.number_path(number) == path
    assert tiles.number_in(path) == number


@pytest.mark.parametrize(
    "path", ["0", "0000", "x000/001", "1000", "x001/x234", "001/002", "", "x", "\u0660\u0660\u0660", "-01"]
)
def test_another_address_of_the_same_tile_is_none(path: str) -> None:
    with pytest.raises(Refused, match="no number of a tile"):
        tiles.number_in(path)
