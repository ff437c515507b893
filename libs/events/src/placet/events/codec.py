"""Between an event and its canonical bytes (RFC 8785): the same bytes are stored, hashed, published and audited.

`seal` makes them, `read` takes them apart. The quick road is msgspec's sorted encoder, whose output is
canonical JSON as long as a payload has no floats, no free-form keys and no integer beyond 2**53; whatever
might be one of those takes the slow road through the `rfc8785` library, which also refuses what JSON cannot
carry. `tests/unit/events/test_codec.py` holds the two against each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
import rfc8785
from msgspec.structs import force_setattr

from placet.errors import Refused, TooLarge
from placet.events.catalog import Catalog, contract_of, schema_id
from placet.events.envelope import BROKEN, Actor, Event, no_cloud_event

MAX_EVENT_BYTES = 64 * 1024

_PARTITION = re.compile(r"[a-z][a-z0-9-]{1,38}[a-z0-9]")
"""A project's name, or `PLATFORM`. It is the last word of a routing key, where a dot would make two of it and a long
one is refused by the broker for good."""
_LONG_NUMBER = re.compile(rb"[:,\[]-?\d{16}")
_Whole = tuple[str, Callable[[bytes], Event[Any] | None]]
_NEITHER: _Whole = ("", lambda _: None)
"""What stands in for the name and the decoder of a type that is not read in one pass."""


class _Wire(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The CloudEvent's attributes by their names on the wire."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    dataschema: str
    partitionkey: str
    correlationid: str
    authid: str
    authtype: str
    data: Any
    causationid: str | None = None
    traceparent: str | None = None


class Codec:
    """Seals and reads the events of one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._encoder = msgspec.json.Encoder(order="sorted")
        self._envelopes = msgspec.json.Decoder(Event[msgspec.Raw])
        self._tail, self._whole = _by_tail(catalog)

    def seal(
        self,
        data: Any,
        *,
        id: str,
        time: datetime,
        subject: str,
        partitionkey: str,
        correlationid: str,
        actor: Actor,
        causationid: str | None = None,
        traceparent: str | None = None,
    ) -> Event[Any]:
        """Make the event and its canonical bytes.

        Raises TypeError for an undeclared payload, TooLarge above 64 KiB, Refused for a value that JSON cannot carry
        and for a `partitionkey` that is neither a project's name nor `PLATFORM`.
        """
        contract = contract_of(data)
        if not _PARTITION.fullmatch(partitionkey):
            raise Refused(
                f"{contract.type} of {subject} cannot belong to {partitionkey!r}: that is no project's name",
                fix="3 to 40 lower-case letters, digits and hyphens, from a letter to a letter or digit",
            )
        wire = _Wire(
            specversion="1.0",
            id=id,
            source=contract.producer,
            type=contract.type,
            subject=subject,
            time=timestamp(time),
            datacontenttype="application/json",
            dataschema=schema_id(contract.type),
            partitionkey=partitionkey,
            correlationid=correlationid,
            causationid=causationid,
            authid=actor.id,
            authtype=actor.type,
            traceparent=traceparent,
            data=data,
        )
        raw = self._canonical(wire, plain=self.catalog.is_plain(type(data)))
        if len(raw) > MAX_EVENT_BYTES:
            raise TooLarge(
                f"{contract.type} of {subject} would be {len(raw)} bytes, an event is at most {MAX_EVENT_BYTES}",
                fix="put what is large into the registry and its digest into the event",
            )
        return Event(data=data, subject=subject, type=contract.type, raw=raw)

    def read(self, raw: bytes) -> Event[Any]:
        """The event in `raw`, its data lifted to the newest version. Raises Unreadable."""
        envelope = self.read_envelope(raw)
        return msgspec.structs.replace(envelope, data=self.catalog.decode(envelope.type, envelope.data))

    def read_all(self, raws: Iterable[bytes]) -> list[Event[Any]]:
        """The events in `raws`, which are this service's own; one loop without calls of ours, for a replay of millions.

        As `read` gives them, but that nobody looks at the attributes here (see `Event`). Envelope and payload are read
        in one pass where nothing is unusual. In canonical bytes the type comes last, so their last bytes tell how to
        decode them; that it is the event's type is checked all the same.
        """
        events: list[Event[Any]] = []
        tail, whole = self._tail, self._whole
        for raw in raws:
            type_name, decode = whole.get(raw[tail:], _NEITHER)
            try:
                event = decode(raw)
            except BROKEN:
                event = None
            if event is None or event.type != type_name:
                event = self.read(raw)  # an older version; or it says what is wrong
            else:
                force_setattr(event, "raw", raw)  # nobody has seen the event yet
            events.append(event)
        return events

    def read_envelope(self, raw: bytes) -> Event[msgspec.Raw]:
        """The event in `raw` with its data left as bytes: for who carries or keeps events without acting on them."""
        try:
            envelope = self._envelopes.decode(raw)
        except BROKEN as error:
            raise no_cloud_event(error) from error
        force_setattr(envelope, "raw", raw)
        _ = envelope.attributes  # raises Unreadable where one is missing
        return envelope

    def read_envelopes(self, raws: Iterable[bytes]) -> list[Event[msgspec.Raw]]:
        """As `read_envelope` gives each, but that nobody looks at the attributes here: for what was let in before."""
        events: list[Event[msgspec.Raw]] = []
        decode = self._envelopes.decode
        for raw in raws:
            try:
                event = decode(raw)
            except BROKEN as error:
                raise no_cloud_event(error) from error
            force_setattr(event, "raw", raw)  # nobody has seen the event yet
            events.append(event)
        return events

    def _canonical(self, wire: _Wire, *, plain: bool) -> bytes:
        try:
            if plain:
                raw = self._encoder.encode(wire)
                if not _LONG_NUMBER.search(raw):
                    return raw
            return rfc8785.dumps(msgspec.to_builtins(wire))
        except (rfc8785.CanonicalizationError, msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise Refused(f"{wire.type} of {wire.subject} cannot be written as JSON: {error}") from error


def _by_tail(catalog: Catalog) -> tuple[int, dict[bytes, _Whole]]:
    """What reads each of the types, by as many last bytes of an event as say nothing but the type, and their number
    as the start of a slice. Types that end alike are read in steps."""
    ends = {cls: f'"type":"{contract_of(cls).type}"}}'.encode() for cls in catalog.types}
    tail = -min(map(len, ends.values()), default=1)
    alike = Counter(end[tail:] for end in ends.values())
    return (
        tail,
        {
            end[tail:]: (contract_of(cls).type, msgspec.json.Decoder(Event[cls]).decode)  # type: ignore[valid-type]
            for cls, end in ends.items()
            if alike[end[tail:]] == 1
        },
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-23T15:06:27.123Z`. Raises ValueError without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The time in an RFC 3339 `timestamp`. Raises ValueError."""
    return datetime.fromisoformat(text)
