"""Which key counts for what: every key that certificates were ever signed with, from when until when, and why it went.

One key is active at any moment. A key that was rotated out still vouches for what was signed while it was active, and
for nothing that claims a later date. A compromised one vouches for nothing at all from a given moment on, whatever date
is written there: who has the key writes the date, too.

The history is public and plain: `{"keys": [{"kid", "x", "from", "until", "why", "compromised"}]}`, each key from where
the one before ended. A plain set of keys (`KeySet`) reads as a history in which nothing ever ended. What this module
does not do: prove when something was signed. That is what the log is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import msgspec

from placet.errors import Refused, Unreadable
from placet.trust.keys import KeySet, SigningKey, VerifyingKey, public_text, verifying_key, write_whole
from placet.trust.moments import written

Reason = Literal["scheduled", "staff", "lost"]
"""Why a key is rotated: a routine; somebody who could reach it left; its private half is gone."""
Why = Literal["scheduled", "staff", "lost", "compromised"]
"""And `compromised`: somebody else may have it. Words of a list, since events say them: nothing of people."""
REASONS: tuple[Reason, ...] = get_args(Reason)
SECOND = timedelta(seconds=1)


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key, `x` in base64url, active `from_` a moment on up to and without `until`; none: ever.

    From `compromised` on it counts for nothing.
    """

    kid: str
    x: str
    from_: datetime | None = msgspec.field(default=None, name="from")
    until: datetime | None = None
    why: Why | None = None
    compromised: datetime | None = None

    def is_active(self, at: datetime) -> bool:
        return (self.from_ is None or self.from_ <= at) and (self.until is None or at < self.until)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[Key, ...]


class KeyHistory:
    """Keys in the order in which they became active."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._by_kid = {each.kid: verifying_key(each.kid, each.x) for each in self.keys}
        if len(self._by_kid) != len(self.keys):
            raise Unreadable("a key is twice in its history")
        for each in self.keys:
            for moment in (each.from_, each.until, each.compromised):
                if moment is not None and moment.tzinfo is None:
                    raise Unreadable(f"the key {each.kid} has a time without a zone")

    @classmethod
    def of(cls, keys: KeySet) -> KeyHistory:
        return cls([Key(kid=each.kid, x=public_text(each)) for each in keys])

    @classmethod
    def from_json(cls, text: str | bytes) -> KeyHistory:
        """A history, or a plain set of keys: then each counts, whenever something was signed."""
        try:
            plain = isinstance(msgspec.json.decode(text), list)
            if plain:
                return cls.of(KeySet.from_json(text))
            return cls(msgspec.json.decode(text, type=_Document).keys)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable(f"this is no history of public keys: {error}") from error

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(_Document(keys=self.keys)), indent=2).decode()

    def get(self, kid: str) -> VerifyingKey | None:
        return self._by_kid.get(kid)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def active(self, at: datetime) -> Key:
        """The one to sign with."""
        for each in reversed(self.keys):
            if each.is_active(at):
                return each
        raise Refused(
            f"no key is active at {written(at)}", fix="see who changed the key history, and restore it"
        )

    def must_count(self, kid: str, *, signed: datetime, now: datetime) -> None:
        """Raises `Refused` unless a signature of this key, dated `signed`, counts `now`."""
        [key] = [each for each in self.keys if each.kid == kid]
        if key.compromised is not None and key.compromised <= now:
            raise Refused(
                f"the key {kid} was compromised, and nothing that it signed counts since"
                f" {written(key.compromised)}",
                fix="deploy the project again: it is signed with another key then",
            )
        if key.until is not None and key.until <= signed:
            raise Refused(
                f"the key {kid} was rotated out at {written(key.until)},"
                f" and this is signed with it as of {written(signed)}",
                fix="see who has that key still: it should be gone",
            )
        if key.from_ is not None and signed < key.from_:
            raise Refused(
                f"the key {kid} is in use since {written(key.from_)},"
                f" and this is signed with it as of {written(signed)}"
            )

    def rotated(self, to: VerifyingKey, *, at: datetime, why: Reason) -> KeyHistory:
        """The next key signs from `at` on, a whole second, until one does that is to come after that already.

        A key that leaks while its successor waits for its day is rotated out before that day.
        """
        before = self.active(at)
        if before.from_ == at:
            raise Refused(
                f"the key {before.kid} is active from {written(at)} on, and the next one only after that",
                fix="give a later moment",
            )
        place = self.keys.index(before) + 1
        is_told = before.why == "compromised"
        ended = msgspec.structs.replace(before, until=at, why="compromised" if is_told else why)
        following = Key(
            kid=to.kid,
            x=public_text(to),
            from_=at,
            until=before.until,
            why=None if before.until is None else why if is_told else before.why,
        )
        return KeyHistory([*self.keys[: place - 1], ended, following, *self.keys[place:]])

    def compromised(self, kid: str, *, at: datetime) -> KeyHistory:
        """From `at` on nothing counts that this key signed. A moment can be made an earlier one, never a later one."""
        if kid not in self._by_kid:
            known = ", ".join(each.kid for each in self.keys)
            raise Refused(
                f"there is no key {kid} in the history, only {known}",
                fix="give one of these, in full: `placet key list` tells when each of them signed",
            )
        [key] = [each for each in self.keys if each.kid == kid]
        if key.until is None or at < key.until:
            # What is signed with it meanwhile would be refused wherever it is looked at.
            raise Refused(
                f"certificates are signed with the key {kid}"
                + ("" if key.until is None else f" until {written(key.until)}"),
                fix="rotate it out first: `placet key rotate`",
            )
        return KeyHistory([_compromised(each, at) if each.kid == kid else each for each in self.keys])


def _compromised(key: Key, at: datetime) -> Key:
    since = at if key.compromised is None else min(at, key.compromised)
    return msgspec.structs.replace(key, compromised=since, why="compromised")


class ActiveKey(msgspec.Struct, frozen=True, kw_only=True):
    """What to sign with now, and the time in which it is active."""

    key: SigningKey
    since: datetime | None = None
    until: datetime | None = None

    def dated(self, at: datetime) -> datetime:
        """The whole second to write into what is signed: that of `at`, brought into the time of the key.

        What is signed was asked for a moment ago, before this key maybe, or by a clock that is ahead.
        """
        second = at.replace(microsecond=0)
        if self.until is not None:
            second = min(second, self.until - SECOND)
        return second if self.since is None else max(second, self.since)


class OwnKeys:
    """The keys that whoever calls signs with: `certificates.pem` is the first, `certificates.<kid>.pem` are those that
    followed, and `certificates.json` is their history, the file to hand to those who verify.

    Files are read each time, so that a rotation needs no restart.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._loaded: dict[str, SigningKey] = {}

    @property
    def published(self) -> Path:
        return self._path.with_suffix(".json")

    def begin(self) -> None:
        """At a start: the first key is made, and one that somebody put in its place is the next."""
        now = self._now().replace(microsecond=0)
        history = self._history()
        if history is None:
            key = SigningKey.load_or_create(self._path)
            self._publish(KeyHistory([Key(kid=key.kid, x=public_text(key.public))]))
        elif self._path.exists() and history.get((key := SigningKey.load(self._path)).kid) is None:
            self._publish(history.rotated(key.public, at=now, why="scheduled"))
        self.active()

    def history(self) -> KeyHistory:
        history = self._history()
        if history is None:
            raise Refused(
                f"the key history {self.published} is not there, or empty",
                fix="restore it, or start the certifier, which makes one for the key that it has",
            )
        return history

    def active(self) -> ActiveKey:
        active = self.history().active(self._now())
        return ActiveKey(key=self._private(active.kid), since=active.from_, until=active.until)

    def rotate(self, *, at: datetime, why: Reason) -> Key:
        """Make the next key. It is in the history from now on, and signs from `at` on, or the next whole second."""
        history = self.history()
        key = SigningKey.generate()
        # What is signed already was signed by the key before.
        following = history.rotated(key.public, at=_whole(max(at, self._now())), why=why)
        key.save(self._file(key.kid))  # first: a history that names a key nobody has would end all signing
        self._publish(following)
        return next(each for each in following if each.kid == key.kid)

    def compromise(self, kid: str, *, at: datetime) -> Key:
        """Say that somebody else may have this key, which is rotated out by `at`, or the next whole second."""
        following = self.history().compromised(kid, at=_whole(max(at, self._now())))
        self._publish(following)
        return next(each for each in following if each.kid == kid)

    def _history(self) -> KeyHistory | None:
        try:
            history = KeyHistory.from_json(self.published.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"the key history {self.published} cannot be read: {error.strerror}") from error
        return history if history.keys else None

    def _publish(self, history: KeyHistory) -> None:
        write_whole(self.published, history.to_json())

    def _file(self, kid: str) -> Path:
        return self._path.with_name(f"{self._path.stem}.{kid}{self._path.suffix}")

    def _private(self, kid: str) -> SigningKey:
        if kid not in self._loaded:
            file = self._file(kid)
            key = SigningKey.load(file if file.exists() else self._path)
            if key.kid != kid:
                raise Refused(
                    f"the key {kid} is active, and its private half is neither in {file} nor in {self._path}",
                    fix=f"put it there, or `placet key rotate {self._path} --why lost`",
                )
            self._loaded = {kid: key}
        return self._loaded[kid]


def _whole(at: datetime) -> datetime:
    """The next whole second: what was signed in this one is of the key before."""
    second = at.replace(microsecond=0)
    return second if second == at else second + SECOND
