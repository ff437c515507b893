"""What Go's checksum database makes of our checkpoints, tiles and proofs, and what we make of its.

Its packages (golang.org/x/mod/sumdb, of note and tlog) were written by others, from the same specifications. Both
sides have to accept what the other makes, and to refuse the same.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from placet.errors import PlacetError
from placet.trust import SigningKey, checkpoints, merkle, notes, tiles
from placet.trust.checkpoints import Checkpoint
from placet.trust.merkle import Frontier, leaf_hash
from placet.trust.notes import COSIGNS, SIGNS, Note, NoteKey
from placet.trust.proofs import ConsistencyProof, InclusionProof
from placet.trust.tiles import Edge, Place

from tests.support import golang
from tests.support.golang import Program

PROGRAM = Path(__file__).parent / "other_implementation"
LARGEST = 70_000
SIZES = [
    *range(1, 20),
    63,
    64,
    65,
    127,
    128,
    200,
    255,
    256,
    257,
    300,
    511,
    512,
    513,
    65_535,
    65_536,
    65_537,
    LARGEST,
]
ORIGIN = "placet.example/audit"
AT = datetime(2026, 11, 27, 12, 0, 5, tzinfo=UTC)

LEAVES = [leaf_hash(b"leaf %d" % at) for at in range(LARGEST)]


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return golang.built(PROGRAM, tmp_path_factory.mktemp("go"), needs="golang.org/x/mod/sumdb")


class Tree:
    """One of ours, as long as `size`, with all of its tiles: the full ones, and those of its edge."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.edge = Edge()
        self.tiles = {Place(tile.level, tile.number): tile.hashes for tile in self.edge.extend(LEAVES[:size])}
        self.tiles |= {
            place: b"".join(row)
            for place, row in zip(tiles.edge_of(size), self.edge.rows, strict=False)
            if row
        }
        self.root = self.edge.root()

    def inclusion(self, index: int) -> list[bytes]:
        return tiles.roots_of(merkle.inclusion(index, self.size), self.tiles)

    def consistency(self, old: int) -> list[bytes]:
        return tiles.roots_of(merkle.consistency(old, self.size), self.tiles)

    def root_at(self, size: int) -> bytes:
        [root] = tiles.roots_of([(0, size)], self.tiles)
        return root

    def places(self) -> list[int]:
        """Some of its leaves: those at its ends and around its tiles, and a few others."""
        some = {
            0,
            1,
            2,
            3,
            254,
            255,
            256,
            257,
            65_534,
            65_535,
            65_536,
            self.size // 2,
            self.size - 2,
            self.size - 1,
        }
        return sorted(at for at in some if 0 <= at < self.size)

    def write(self, folder: Path) -> None:
        """At the paths where C2SP's tlog-tiles has them."""
        for place, hashes in self.tiles.items():
            width = len(hashes) // merkle.HASH_BYTES
            path = folder / "tile" / (tiles.path_of(place) + ("" if width == tiles.WIDTH else f".p/{width}"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hashes)


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    return [Tree(size) for size in SIZES]


def text(each: bytes) -> str:
    return base64.b64encode(each).decode()


def texts(hashes: Sequence[bytes]) -> list[str]:
    return [text(each) for each in hashes]


def test_both_grow_the_same_tree(go: Program) -> None:
    [answer] = go.ask([{"ask": "tree", "leaves": LARGEST, "sizes": SIZES, "at": []}])
    ours, grown = [], Frontier()
    for size in SIZES:
        grown.extend(LEAVES[grown.size : size])
        ours.append(text(grown.root()))
    assert answer["roots"] == ours


def test_it_makes_the_same_proofs_from_its_tree(go: Program, trees: list[Tree]) -> None:
    answers = go.ask([{"ask": "tree", "leaves": tree.size, "at": tree.places()} for tree in trees])
    for tree, answer in zip(trees, answers, strict=True):
        assert answer["root"] == text(tree.root)
        assert_made_the_same(answer, tree)


def test_both_write_the_same_tiles_at_the_same_paths(go: Program, trees: list[Tree], tmp_path: Path) -> None:
    ours, theirs = ([tmp_path / side / str(size) for size in SIZES] for side in ("ours", "theirs"))
    go.ask(
        [{"ask": "tree", "leaves": size, "folder": str(to)} for size, to in zip(SIZES, theirs, strict=True)]
    )
    for tree, our, their in zip(trees, ours, theirs, strict=True):
        tree.write(our)
        assert files(our) == files(their)


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_makes_the_same_proofs_from_our_tiles(go: Program, trees: list[Tree], tmp_path: Path) -> None:
    """It asks for a tile by its own width in a tree of that size, and holds each against those above it."""
    questions = []
    for tree in trees:
        folder = tmp_path / str(tree.size)
        tree.write(folder)
        questions.append(
            {
                "ask": "tiles",
                "size": tree.size,
                "root": text(tree.root),
                "folder": str(folder),
                "at": tree.places(),
            }
        )
    for tree, answer in zip(trees, go.ask(questions), strict=True):
        assert answer.get("refused") is None, tree.size
        assert_made_the_same(answer, tree)


def assert_made_the_same(answer: dict[str, Any], tree: Tree) -> None:
    assert answer["inclusion"] == [texts(tree.inclusion(at)) for at in tree.places()]
    assert answer["consistency"] == [texts(tree.consistency(at + 1)) for at in tree.places()]


def test_it_refuses_our_tiles_once_one_is_changed(go: Program, tmp_path: Path) -> None:
    """Of 257 leaves, where each part of the root lies in a tile of its own. Where two lie in one, as of 300, the reader
    of the version of 2022 holds one full tile less against those above it."""
    tree = Tree(257)
    tree.tiles[Place(0, 0)] = tree.tiles[Place(0, 0)][:-1] + b"\0"
    tree.write(tmp_path)
    question = {"ask": "tiles", "size": 257, "root": text(tree.root), "folder": str(tmp_path), "at": [0]}
    [answer] = go.ask([question])
    assert answer == {"refused": "downloaded inconsistent tile"}


Inclusion = tuple[bytes, int, int, list[bytes], bytes]
Consistency = tuple[int, bytes, int, bytes, list[bytes]]


def changed(proof: list[bytes], by: random.Random) -> Iterator[list[bytes]]:
    yield proof[:-1]
    yield proof[1:]
    yield [*proof, by.choice(LEAVES)]
    yield [by.choice(LEAVES), *proof]
    yield proof[::-1]
    yield []
    if proof:
        at = by.randrange(len(proof))
        yield [*proof[:at], by.choice(LEAVES), *proof[at + 1 :]]
        yield [*proof[:at], proof[at], *proof[at:]]


def inclusions(tree: Tree, by: random.Random) -> Iterator[Inclusion]:
    """Proofs, and what somebody may make of them; some of these hold all the same."""
    for index in tree.places():
        leaf, proof = LEAVES[index], tree.inclusion(index)
        yield leaf, index, tree.size, proof, tree.root
        for other in changed(proof, by):
            yield leaf, index, tree.size, other, tree.root
        yield by.choice(LEAVES), index, tree.size, proof, tree.root
        yield leaf, by.randrange(tree.size + 1), tree.size, proof, tree.root
        yield leaf, index ^ 1, tree.size, proof, tree.root
        for size in (tree.size + 1, tree.size - 1, tree.size * 2, index, index + 1):
            yield leaf, index, size, proof, tree.root
        yield leaf, index, tree.size, proof, by.choice(LEAVES)


def consistencies(tree: Tree, by: random.Random) -> Iterator[Consistency]:
    for index in tree.places():
        old, proof = index + 1, tree.consistency(index + 1)
        root = tree.root_at(old)
        yield old, root, tree.size, tree.root, proof
        for other in changed(proof, by):
            yield old, root, tree.size, tree.root, other
        yield old, by.choice(LEAVES), tree.size, tree.root, proof
        yield old, root, tree.size, by.choice(LEAVES), proof
        yield old, tree.root, tree.size, root, proof
        for size in (tree.size + 1, tree.size - 1, tree.size * 2):
            yield old, root, size, tree.root, proof
        for other_old in (old + 1, old - 1, by.randrange(1, tree.size + 1)):
            if other_old > 0:  # Go's has no proof for an empty tree, which begins every other
                yield other_old, root, tree.size, tree.root, proof


def test_both_take_the_same_proofs_of_inclusion(go: Program, trees: list[Tree]) -> None:
    by = random.Random(6962)  # noqa: S311 - changes, not secrets
    cases = [case for tree in trees for case in inclusions(tree, by)]
    answers = go.ask(
        [
            {
                "ask": "inclusion",
                "leaf": text(leaf),
                "index": index,
                "size": size,
                "proof": texts(proof),
                "root": text(root),
            }
            for leaf, index, size, proof, root in cases
        ]
    )
    ours = [holds(merkle.verify_inclusion, case) for case in cases]
    assert_alike(ours, answers, cases)


def test_both_take_the_same_proofs_of_consistency(go: Program, trees: list[Tree]) -> None:
    by = random.Random(9162)  # noqa: S311 - changes, not secrets
    cases = [case for tree in trees for case in consistencies(tree, by)]
    answers = go.ask(
        [
            {
                "ask": "consistency",
                "old": old,
                "old_root": text(old_root),
                "size": size,
                "root": text(root),
                "proof": texts(proof),
            }
            for old, old_root, size, root, proof in cases
        ]
    )
    ours = [holds(merkle.verify_consistency, case) for case in cases]
    assert_alike(ours, answers, cases)


def holds(verify: Any, case: tuple[Any, ...]) -> bool:
    try:
        verify(*case)
    except PlacetError:
        return False
    return True


def assert_alike(ours: list[bool], answers: list[dict[str, Any]], cases: Sequence[Any]) -> None:
    theirs = ["refused" not in answer for answer in answers]
    assert [case for case, we, they in zip(cases, ours, theirs, strict=True) if we != they] == []
    assert sum(ours) > 100
    assert ours.count(False) > 1000


# Notes, checkpoints, cosignatures

LOG, WITNESS, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate()
KNOWN = NoteKey(name=ORIGIN, kind=SIGNS, key=LOG.public)
WITNESSED_BY = NoteKey(name="witness.example/w1", kind=COSIGNS, key=WITNESS.public)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=300, root=Tree(300).root)


def cosigned(checkpoint: Checkpoint = CHECKPOINT, at: datetime = AT) -> Note:
    signature = checkpoints.cosign(checkpoint.text, name=WITNESSED_BY.name, key=WITNESS, at=at)
    return checkpoints.sign(checkpoint, LOG).with_signatures([signature])


def opened(note: Note | str, *keys: NoteKey) -> dict[str, Any]:
    return {"ask": "open", "note": str(note), "keys": [key.vkey for key in keys]}


def test_it_opens_our_checkpoints(go: Program) -> None:
    for checkpoint in (CHECKPOINT, Checkpoint(origin=ORIGIN, size=0, root=merkle.EMPTY_ROOT)):
        [answer] = go.ask([opened(checkpoints.sign(checkpoint, LOG), KNOWN)])
        assert answer["text"] == checkpoint.text
        assert answer["signed"] == [ORIGIN]
        read = (answer["origin"], answer.get("size", 0), answer["root"])
        assert read == (ORIGIN, checkpoint.size, text(checkpoint.root))


def test_it_reads_our_cosignatures_as_the_specification_has_them(go: Program) -> None:
    [answer] = go.ask([opened(cosigned(), KNOWN, WITNESSED_BY)])
    assert answer["signed"] == [ORIGIN, WITNESSED_BY.name]
    assert answer["times"] == {WITNESSED_BY.name: int(AT.timestamp())}


def test_we_read_its_notes_and_cosignatures(go: Program) -> None:
    at = int(AT.timestamp())
    question = {"ask": "sign", "note": CHECKPOINT.text, "name": ORIGIN}
    alone, witnessed = go.ask([question, {**question, "cosigner": WITNESSED_BY.name, "timestamp": at}])

    [log] = [NoteKey.from_vkey(key) for key in alone["keys"]]
    assert checkpoints.verify(Note.from_bytes(alone["note"].encode()), [log]) == (CHECKPOINT, log)
    log, witness = (NoteKey.from_vkey(key) for key in witnessed["keys"])
    note = Note.from_bytes(witnessed["note"].encode())
    assert checkpoints.verify(note, [log]) == (CHECKPOINT, log)
    assert checkpoints.cosigned(note, [witness]) == [checkpoints.Cosigned(by=witness, at=AT)]
    assert str(note) == witnessed["note"]


def test_both_refuse_changed_notes(go: Program) -> None:
    """Ours may refuse more, as other spellings of base64, and takes nothing that Go's does not."""
    by = random.Random(8032)  # noqa: S311 - changes, not secrets
    whole = cosigned().to_bytes()
    keys = [KNOWN, WITNESSED_BY]
    changes = [whole, whole + b"\n", b"\n" + whole, whole[:-1], whole.replace(b"\n\n", b"\n")]
    for at in range(len(whole)):
        changes.append(whole[:at] + bytes([by.choice(range(32, 127))]) + whole[at + 1 :])
        changes.append(whole[:at] + whole[at + 1 :])
        changes.append(whole[:at] + b"\n" + whole[at:])
    notes_ = [change.decode() for change in changes if readable(change)]
    for note, answer in zip(notes_, go.ask([opened(note, *keys) for note in notes_]), strict=True):
        if "refused" in answer:
            assert signers(note) == [], note
        elif ours := signers(note):
            assert ours == answer["signed"], note
    assert signers(notes_[0]) == [ORIGIN, WITNESSED_BY.name]


def readable(note: bytes) -> bool:
    """As text: what is none cannot be put into a question, and unit tests refuse it."""
    try:
        note.decode()
    except UnicodeDecodeError:
        return False
    return True


def signers(note: str) -> list[str]:
    """Who signed it as we see it; nobody where we refuse it."""
    try:
        read = Note.from_bytes(note.encode())
        log = notes.verify(read, [KNOWN])
        return [key.name for key in log] + [
            each.by.name for each in checkpoints.cosigned(read, [WITNESSED_BY])
        ]
    except PlacetError:
        return []


# Whole proofs, as text


def test_its_proofs_verify_as_ours_do(go: Program) -> None:
    """A log of Go's: its key, its checkpoint and its proofs, in C2SP's text."""
    tree = Tree(300)
    made, signed = go.ask(
        [
            {"ask": "tree", "leaves": 300, "at": tree.places()},
            {"ask": "sign", "note": CHECKPOINT.text, "name": ORIGIN},
        ]
    )
    [log] = [NoteKey.from_vkey(key) for key in signed["keys"]]
    for at, inclusion, consistency in zip(tree.places(), made["inclusion"], made["consistency"], strict=True):
        lines = "".join(f"{each}\n" for each in inclusion)
        proof = f"c2sp.org/tlog-proof@v1\nindex {at}\n{lines}\n{signed['note']}"
        assert InclusionProof.from_bytes(proof.encode()).verify(b"leaf %d" % at, [log]) == CHECKPOINT

        lines = "".join(f"{each}\n" for each in consistency)
        going_on = ConsistencyProof.from_bytes(f"old {at + 1}\n{lines}\n{signed['note']}".encode())
        known = Checkpoint(origin=ORIGIN, size=at + 1, root=tree.root_at(at + 1))
        assert going_on.verify(known, [log]) == CHECKPOINT
