"""A leaf of the audit log's tree: canonical bytes, and nothing that could be read in two ways."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Unreadable
from placet.trust.leaves import Leaf

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 2**53 - 1))
def test_a_leaf_has_canonical_bytes(id: str, type: str, epoch: str, position: int) -> None:
    raw = json.dumps(
        {"id": id, "source": "gateway", "type": type, "data": {"id": "other", "source": "other"}}
    ).encode()
    leaf = Leaf.of(raw, position=position, producer="gateway", epoch=epoch, producer_position=7)
    assert json.loads(leaf.to_bytes()) == {
        "digest": f"sha256:{sha256(raw).hexdigest()}",
        "epoch": epoch,
        "id": id,
        "position": position,
        "producer": "gateway",
        "producerPosition": 7,
        "type": type,
    }
    assert leaf.to_bytes() == rfc8785.dumps(json.loads(leaf.to_bytes()))
    assert Leaf.from_bytes(leaf.to_bytes()) == leaf


@pytest.mark.parametrize(
    "raw", [b"", b"\xff", b"[]", b'{"id":1,"source":"gateway","type":"a"}', b'{"id":"1"}']
)
def test_what_is_no_event_has_no_leaf(raw: bytes) -> None:
    with pytest.raises(Unreadable, match="position 3"):
        Leaf.of(raw, position=3, producer="gateway", epoch="1", producer_position=1)


def test_another_way_to_write_a_leaf_is_refused() -> None:
    leaf = Leaf.of(
        b'{"id":"1","source":"gateway","type":"a"}',
        position=1,
        producer="gateway",
        epoch="1",
        producer_position=1,
    )
    for data in (b" " + leaf.to_bytes(), leaf.to_bytes().replace(b'"a"', b'"\\u0061"'), b"{}", b"\xff"):
        with pytest.raises(Unreadable):
            Leaf.from_bytes(data)


def test_an_event_of_somebody_else_is_no_event_of_the_producer_s() -> None:
    raw = b'{"id":"1","source":"builder","type":"a"}'
    with pytest.raises(
        Unreadable, match="position 1 of the audit log is kept as an event of gateway, and builder"
    ):
        Leaf.of(raw, position=1, producer="gateway", epoch="1", producer_position=1)
