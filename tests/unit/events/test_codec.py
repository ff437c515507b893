"""An event's bytes are canonical, come back as what they were, and are refused when they are none."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Refused, TooLarge, Unreadable
from placet.events.catalog import Catalog, event
from placet.events.codec import MAX_EVENT_BYTES, Codec, moment, timestamp
from placet.events.envelope import PLATFORM, Actor, Attributes, Event


@dataclass(frozen=True, kw_only=True)
class Part:
    zeta: str
    alpha: int | None


@event("tester", "plain.said")
class PlainSaid:
    text: str
    number: int
    flag: bool
    nothing: str | None
    parts: tuple[Part, ...]


@event("tester", "free.said")
class FreeSaid:
    share: float
    anything: dict[str, Any]


CODEC = Codec(Catalog([PlainSaid, FreeSaid]))
MAX_EXACT = 2**53 - 1

texts = st.text(st.characters(exclude_categories=["Cs"]))
projects = st.from_regex(r"[a-z][a-z0-9-]{1,38}[a-z0-9]", fullmatch=True)
integers = st.integers(-MAX_EXACT, MAX_EXACT)
# Beyond 2**53 a float is written like an integer that nobody may write.
floats = st.floats(-(2.0**53) + 1, 2.0**53 - 1)
parts = st.builds(Part, zeta=texts, alpha=st.none() | integers)
plain = st.builds(
    PlainSaid,
    text=texts,
    number=integers,
    flag=st.booleans(),
    nothing=st.none() | texts,
    parts=st.lists(parts, max_size=3).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
free = st.builds(
    FreeSaid,
    share=floats,
    anything=st.dictionaries(texts, json_values, max_size=4),
)


def seal(data: Any, **attributes: Any) -> Event[Any]:
    given: dict[str, Any] = {
        "id": "1",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "subject": "thing/1",
        "partitionkey": "churn",
        "correlationid": "operation-1",
        "actor": Actor.person("person:1"),
        **attributes,
    }
    return CODEC.seal(data, **given)


def said(text: str = "", **fields: Any) -> PlainSaid:
    return PlainSaid(**{"text": text, "number": 0, "flag": False, "nothing": None, "parts": (), **fields})


@given(plain | free, texts, projects, st.none() | texts)
def test_the_bytes_are_canonical(data: Any, subject: str, project: str, cause: str | None) -> None:
    sealed = seal(data, subject=subject, partitionkey=project, causationid=cause)

    assert sealed.raw == rfc8785.dumps(json.loads(sealed.raw))


@given(plain | free, texts, projects, st.none() | texts)
def test_what_is_read_is_what_was_sealed(data: Any, subject: str, project: str, cause: str | None) -> None:
    sealed = seal(data, subject=subject, partitionkey=project, causationid=cause)

    assert CODEC.read(sealed.raw) == sealed
    assert (
        CODEC.seal(
            CODEC.read(sealed.raw).data,
            id=sealed.id,
            time=moment(sealed.time),
            subject=sealed.subject,
            partitionkey=sealed.partitionkey,
            correlationid=sealed.correlationid,
            causationid=sealed.causationid,
            actor=sealed.actor,
        ).raw
        == sealed.raw
    )


def test_the_bytes_are_a_cloud_event_in_structured_mode() -> None:
    sealed = seal(said("ü"), causationid="0", traceparent="00-a-b-01")

    assert json.loads(sealed.raw) == {
        "specversion": "1.0",
        "id": "1",
        "source": "tester",
        "type": "placet.tester.plain.said.v1",
        "subject": "thing/1",
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:placet:schema:placet.tester.plain.said.v1",
        "partitionkey": "churn",
        "correlationid": "operation-1",
        "causationid": "0",
        "authid": "person:1",
        "authtype": "user",
        "traceparent": "00-a-b-01",
        "data": {"text": "ü", "number": 0, "flag": False, "nothing": None, "parts": []},
    }


def test_the_attributes_are_read_out_of_the_bytes() -> None:
    sealed = seal(said(), causationid="0", traceparent="00-a-b-01")

    assert sealed.attributes == Attributes(
        specversion="1.0",
        id="1",
        source="tester",
        time="2026-01-01T00:00:00.000Z",
        partitionkey="churn",
        correlationid="operation-1",
        causationid="0",
        authid="person:1",
        authtype="user",
        traceparent="00-a-b-01",
    )
    assert sealed.actor == Actor.person("person:1")


def test_attributes_that_were_lost_in_the_own_log_are_told_when_asked_for() -> None:
    raw = seal(said("hello")).raw.replace(b'"id":"1",', b"")
    (read,) = CODEC.read_all([raw])

    assert read.data == said("hello")
    with pytest.raises(Unreadable, match=r"not a CloudEvent.*`id`"):
        _ = read.actor


def test_what_does_not_apply_is_left_out_of_the_envelope() -> None:
    assert json.loads(seal(said()).raw).keys().isdisjoint({"causationid", "traceparent"})


@pytest.mark.parametrize("number", [MAX_EXACT, -MAX_EXACT, 10**15, -(10**15)])
def test_integers_that_every_reader_keeps_exact_are_written(number: int) -> None:
    assert CODEC.read(seal(said(number=number)).raw).data.number == number


@pytest.mark.parametrize("number", [MAX_EXACT + 1, -MAX_EXACT - 1, 10**30])
def test_integers_that_some_readers_round_are_refused(number: int) -> None:
    with pytest.raises(Refused, match="cannot be written as JSON"):
        seal(said(number=number))


def test_text_that_looks_like_a_long_integer_is_text() -> None:
    text = ":12345678901234567890"
    assert CODEC.read(seal(said(text)).raw).data.text == text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(Refused, match="cannot be written as JSON"):
        seal(FreeSaid(share=number, anything={}))


def test_half_a_character_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be written as JSON"):
        seal(said("\ud83d"))
    with pytest.raises(Refused, match="cannot be written as JSON"):
        seal(FreeSaid(share=0.5, anything={"\ud83d": 1}))


@pytest.mark.parametrize("value", [object(), 1j])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises((Refused, TypeError)):
        seal(FreeSaid(share=0.5, anything={"it": value}))


def test_an_event_is_at_most_64_kib() -> None:
    room = MAX_EVENT_BYTES - len(seal(said()).raw)

    assert len(seal(said("x" * room)).raw) == 64 * 1024
    with pytest.raises(TooLarge, match="into the registry"):
        seal(said("x" * (room + 1)))


def test_only_declared_events_are_sealed() -> None:
    with pytest.raises(TypeError, match="is no event"):
        seal(Part(zeta="", alpha=1))


@pytest.mark.parametrize(
    ("old", "new", "saying"),
    [
        (b'"specversion":"1.0"', b'"specversion":"0.3"', "'0.3'"),
        (b'"id":"1",', b"", "not a CloudEvent"),
        (b'"id":"1"', b'"id":1', "not a CloudEvent"),
        (b"}", b"", "not a CloudEvent"),
        (b"churn", b"\xff\xfe", "not a CloudEvent"),
        (b"plain.said.v1", b"plain.said.v2", "no event type 'placet.tester.plain.said.v2' is known here"),
        (b'"number":0', b'"number":"0"', "breaks its contract"),
        (b'"number":0,', b"", "breaks its contract"),
        (b'"text":"hello"', b'"text":"\xff"', "breaks its contract"),
        (b'"text":"hello"', b'"text":' + b"[" * 100_000, "not a CloudEvent"),
        (b'"text":"hello"', b'"text":' + b"[" * 900 + b"]" * 900, "breaks its contract"),
    ],
)
def test_what_is_no_event_is_unreadable(old: bytes, new: bytes, saying: str) -> None:
    raw = seal(said("hello")).raw
    assert old in raw

    with pytest.raises(Unreadable, match=saying):
        CODEC.read(raw.replace(old, new))


@given(st.binary())
def test_any_bytes_are_an_event_or_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        CODEC.read(raw)


@event("tester", "it.said")
class Said:
    text: str


@event("tester", "one-of-the-very-many-things-there-are.said")
class OneSaid:
    text: str


@event("tester", "two-of-the-very-many-things-there-are.said")
class TwoSaid:
    text: str


def test_types_that_end_alike_are_told_apart() -> None:
    codec = Codec(Catalog([Said, OneSaid, TwoSaid]))
    given: dict[str, Any] = {
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "subject": "thing/1",
        "partitionkey": "churn",
        "correlationid": "operation-1",
        "actor": Actor.person("person:1"),
    }
    kinds = (TwoSaid, Said, OneSaid, Said)
    sealed = [codec.seal(kind(text=f"{at}"), id=f"{at}", **given) for at, kind in enumerate(kinds)]

    assert codec.read_all([each.raw for each in sealed]) == sealed


def test_an_envelope_is_read_without_knowing_the_type() -> None:
    raw = seal(said("hello")).raw.replace(b"plain.said", b"other.said")

    read = CODEC.read_envelope(raw)
    assert (read.type, read.subject, read.raw) == ("placet.tester.other.said.v1", "thing/1", raw)
    assert json.loads(bytes(read.data))["text"] == "hello"


def test_envelopes_are_read_many_at_once() -> None:
    raws = [seal(said(each)).raw for each in ("hello", "world")]

    assert CODEC.read_envelopes(raws) == [CODEC.read_envelope(each) for each in raws]
    with pytest.raises(Unreadable, match="not a CloudEvent"):
        CODEC.read_envelopes([*raws, b"{}"])


def test_times_are_utc_with_milliseconds() -> None:
    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 11, 23, 17, 6, 27, 123999, east)) == "2026-11-23T15:06:27.123Z"
    assert moment("2026-11-23T15:06:27.123Z") == datetime(2026, 11, 23, 15, 6, 27, 123000, UTC)
    with pytest.raises(ValueError, match="zone"):
        timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    "project", ["", "ab", "Churn", "a.b.c", "churn-", "1churn", "churn\n", "*", "a#b", "a" * 41, "caf\udce9"]
)
def test_what_is_no_projects_name_cannot_be_sealed_for(project: str) -> None:
    with pytest.raises(Refused, match="no project's name"):
        seal(said("a"), partitionkey=project)


@pytest.mark.parametrize("project", ["abc", "a1-2", "a" * 40, PLATFORM])
def test_a_projects_name_and_the_platform_can_be_sealed_for(project: str) -> None:
    assert seal(said("a"), partitionkey=project).partitionkey == project


# Of the author of RFC 8785: input and output (github.com/cyberphone/json-canonicalization, testdata).
PUBLISHED = {
    "arrays": (
        '[56, {"d": true, "10": null, "1": [ ]}]',
        '[56,{"1":[],"10":null,"d":true}]',
    ),
    "french": (
        '{"peach": "This sorting order", "péché": "is wrong according to French",'
        ' "pêche": "but canonicalization MUST", "sin":   "ignore locale"}',
        '{"peach":"This sorting order","péché":"is wrong according to French",'
        '"pêche":"but canonicalization MUST","sin":"ignore locale"}',
    ),
    "structures": (
        '{"1": {"f": {"f": "hi","F": 5} ,"\\n": 56.0}, "10": { }, "": "empty", "a": { },'
        ' "111": [ {"e": "yes","E": "no" } ], "A": { }}',
        '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}',
    ),
    "unicode": ('{"Unnormalized Unicode":"A\\u030a"}', '{"Unnormalized Unicode":"A\u030a"}'),
    "values": (
        '{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        ' "string": "\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false]}',
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    ),
    "weird": (
        '{"\\u20ac": "Euro Sign", "\\r": "Carriage Return", "\\u000a": "Newline", "1": "One",'
        ' "\\u0080": "Control\\u007f", "\\ud83d\\ude02": "Smiley",'
        ' "\\u00f6": "Latin Small Letter O With Diaeresis", "\\ufb33": "Hebrew Letter Dalet With Dagesh",'
        ' "</script>": "Browser Challenge"}',
        '{"\\n":"Newline","\\r":"Carriage Return","1":"One","</script>":"Browser Challenge",'
        '"\u0080":"Control\u007f","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",'
        '"\U0001f602":"Smiley","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    ),
}


@pytest.mark.parametrize(("given", "canonical"), PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_examples_of_canonical_json_are_sealed(given: str, canonical: str) -> None:
    sealed = seal(FreeSaid(share=0.5, anything={"it": json.loads(given)}))

    assert f'"anything":{{"it":{canonical}}}'.encode() in sealed.raw


@pytest.mark.parametrize(
    ("bits", "written"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_the_specification_has_them(bits: str, written: str) -> None:
    """RFC 8785, appendix B."""
    [number] = struct.unpack(">d", bytes.fromhex(bits))

    assert f'"share":{written}}}'.encode() in seal(FreeSaid(share=number, anything={})).raw
