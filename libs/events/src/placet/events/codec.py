"""Between an event and its canonical bytes (RFC 8785): the same bytes are stored, hashed, published and audited.

`seal` makes them, `read` takes them apart. The quick road is msgspec's sorted encoder, whose output is
canonical JSON as long as a payload has no floats, no free-form keys and no integer beyond 2**53; whatever
might be one of those takes the slow road through the `rfc8785` library, which also refuses what JSON cannot
carry. `tests/unit/events/test_codec.py` holds the two against each other.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import rfc8785

from placet.errors import Refused, TooLarge, Unreadable
from placet.events.catalog import Catalog, contract_of, schema_id
from placet.events.envelope import Actor, Event

MAX_EVENT_BYTES = 64 * 1024

_LONG_NUMBER = re.compile(rb"[:,\[]-?\d{16}")


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


class _Read(msgspec.Struct, kw_only=True, gc=False):
    """Those of them that say something: a replay reads millions."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    partitionkey: str
    correlationid: str
    authid: str
    authtype: str
    data: msgspec.Raw
    causationid: str | None = None
    traceparent: str | None = None


class Codec:
    """Seals and reads the events of one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._encoder = msgspec.json.Encoder(order="sorted")
        self._reader = msgspec.json.Decoder(_Read)

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

        Raises TypeError for an undeclared payload, TooLarge above 64 KiB, Refused for a value that JSON cannot carry.
        """
        contract = contract_of(data)
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
        return Event(
            id=id,
            source=contract.producer,
            type=contract.type,
            subject=subject,
            time=wire.time,
            partitionkey=partitionkey,
            correlationid=correlationid,
            causationid=causationid,
            actor=actor,
            traceparent=traceparent,
            data=data,
            raw=raw,
        )

    def read(self, raw: bytes) -> Event[Any]:
        """The event in `raw`, its data lifted to the newest version. Raises Unreadable."""
        wire = self._take_apart(raw)
        return self._event(wire, self.catalog.decode(wire.type, wire.data), raw)

    def read_envelope(self, raw: bytes) -> Event[msgspec.Raw]:
        """The event in `raw` with its data left as bytes: for who carries or keeps events without acting on them."""
        wire = self._take_apart(raw)
        return self._event(wire, wire.data, raw)

    def _take_apart(self, raw: bytes) -> _Read:
        try:
            wire = self._reader.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"not a CloudEvent in structured mode: {error}") from error
        if wire.specversion != "1.0":
            raise Unreadable(f"a CloudEvent of version {wire.specversion!r}; this reads 1.0")
        return wire

    @staticmethod
    def _event(wire: _Read, data: Any, raw: bytes) -> Event[Any]:
        return Event(
            id=wire.id,
            source=wire.source,
            type=wire.type,
            subject=wire.subject,
            time=wire.time,
            partitionkey=wire.partitionkey,
            correlationid=wire.correlationid,
            causationid=wire.causationid,
            actor=Actor(id=wire.authid, type=wire.authtype),
            traceparent=wire.traceparent,
            data=data,
            raw=raw,
        )

    def _canonical(self, wire: _Wire, *, plain: bool) -> bytes:
        try:
            if plain:
                raw = self._encoder.encode(wire)
                if not _LONG_NUMBER.search(raw):
                    return raw
            return rfc8785.dumps(msgspec.to_builtins(wire))
        except (rfc8785.CanonicalizationError, msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise Refused(f"{wire.type} of {wire.subject} cannot be written as JSON: {error}") from error


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-23T15:06:27.123Z`. Raises ValueError without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The time in an RFC 3339 `timestamp`. Raises ValueError."""
    return datetime.fromisoformat(text)
