"""Are the conditions of a certificate kept? Adds up what was observed of a model, and compares it. Pure, no clock.

A window holds what was told within it: of shares the requests, of drift the rows of each column, so that its index is
one of all of them. It is kept in `SLICES` parts, of which the oldest leaves it as a whole. Of too few samples nothing
is said: what was kept counts as kept, and what was not as not, until there are enough. A condition that was not kept
has to get back to its `recovery` first, so that a value at its limit does not take a model off again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from placet.events.codec import moment
from placet.events.contracts.deployer import ModelObserved
from placet.events.contracts.shapes import Condition, Measured, stability

SLICES = 24
HOUR = 3600.0
MOST_SAMPLES = 2**53 - 1
"""That are told of: an event holds no larger number, and a model counts as it likes."""

Columns = dict[str, tuple[int, ...]]


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What was told from `since` to `until`, in seconds since 1970. `bad` are of `samples`; `columns` are counts."""

    since: float
    until: float
    samples: int = 0
    bad: int = 0
    columns: Columns = {}


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """One condition, and what is known of it. `references` are the counts that those of its columns are compared to."""

    condition: Condition
    references: Columns = {}
    slices: tuple[Slice, ...] = ()
    is_broken: bool = False
    """It was not kept when it was judged last."""
    heard_at: float = 0.0
    """When anything of it was told last."""

    @property
    def limit(self) -> float:
        return self.condition.recovery if self.is_broken else self.condition.max

    @property
    def suspends(self) -> bool:
        return self.condition.action == "suspend"


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """All conditions of one certificate. Times are in seconds since 1970.

    `heard_at` is up to when its model was observed, `since` when it serves. `suspended_at` is when conditions took it
    off its route, none while they do not.
    """

    watches: tuple[Watch, ...] = ()
    is_live: bool = False
    since: float = 0.0
    heard_at: float = 0.0
    suspended_at: float | None = None

    @property
    def retry_at(self) -> float | None:
        """When a suspended one is let serve again on trial; none if only people can say so."""
        pauses = [each.condition.retry_after for each in self.watches if each.suspends and each.is_broken]
        if self.suspended_at is None or not pauses or None in pauses:
            return None
        return self.suspended_at + max(pause for pause in pauses if pause is not None)

    def look_at(self, now: float) -> float | None:
        """When time alone may change what is said of it; none if it cannot."""
        times = [self.retry_at, now + HOUR if self.is_live else None]
        return min((time for time in times if time is not None), default=None)


def watched(conditions: Iterable[Condition]) -> Watched:
    return Watched(watches=tuple(Watch(condition=each) for each in conditions))


def handed_on(before: Watched, to: Watched) -> Watched:
    """`to` with all that is known from before, where the conditions are the same."""
    if [each.condition for each in before.watches] != [each.condition for each in to.watches]:
        return to
    return msgspec.structs.replace(before, is_live=False)


def heard(before: Watched, observed: ModelObserved) -> Watched | None:
    """With this window added; none if it is not newer than what is known, since that was judged already."""
    until = moment(observed.until).timestamp()
    if until <= before.heard_at:
        return None
    return msgspec.structs.replace(
        before,
        is_live=True,
        heard_at=until,
        watches=tuple(_added(each, observed, until) for each in before.watches),
    )


def measured(watch: Watch) -> Measured | None:
    """What its window comes to; none of too few samples."""
    condition = watch.condition
    found: list[tuple[float, int, str | None]]
    if condition.metric == "psi":
        pooled = _pooled(each.columns for each in watch.slices)
        found = [
            (stability(watch.references[column], counts), sum(counts), column)
            for column, counts in sorted(pooled.items())
        ]
    else:
        samples = sum(each.samples for each in watch.slices)
        found = [(sum(each.bad for each in watch.slices) / max(samples, 1), samples, None)]
    enough = [each for each in found if each[1] >= condition.min_samples]
    if not enough:
        return None
    value, samples, column = max(enough, key=lambda each: each[0])
    return Measured(
        metric=condition.metric,
        value=round(value, 4),
        limit=watch.limit,
        window=condition.window,
        samples=min(samples, MOST_SAMPLES),
        column=column,
    )


def broken(of: Watched, action: str) -> tuple[Measured, ...]:
    """What of its conditions is over its limit now, of those that have this action."""
    found = (measured(each) for each in of.watches if each.condition.action == action)
    return tuple(each for each in found if each is not None and each.value > each.limit)


def facts(of: Watched, *, project: str, now: str, at: float) -> dict[str, Any]:
    """What the rules of stage operate see. A condition without a `value` was not kept, and is not judged now."""
    conditions = []
    for watch in of.watches:
        found = measured(watch)
        told = {"metric": watch.condition.metric, "action": watch.condition.action, "limit": watch.limit}
        if found is not None:
            conditions.append({**told, "value": found.value, "samples": found.samples})
        elif watch.is_broken:
            conditions.append(told)
    return {
        "now": now,
        "project": {"name": project},
        "monitoring": {
            "metrics": [watch.condition.metric for watch in of.watches],
            "conditions": conditions,
            "over": {
                action: [in_words(each) for each in broken(of, action)] for action in ("suspend", "warn")
            },
            "live": of.is_live,
            "silentHours": round(_silence(of, at) / HOUR, 2),
        },
    }


def _silence(of: Watched, at: float) -> float:
    """Seconds since anything was told of the condition that was told of least lately, while its model serves."""
    return max((at - max(of.since, each.heard_at) for each in of.watches), default=0.0)


def settled(of: Watched) -> Watched:
    """As it was judged just now: what is kept, and what is not, counts from here on."""
    return msgspec.structs.replace(of, watches=tuple(_settled(each) for each in of.watches))


def on_trial(of: Watched) -> Watched:
    """What suspended it is forgotten, and has to be at its recovery when there is enough of what is new."""
    return msgspec.structs.replace(
        of,
        suspended_at=None,
        watches=tuple(
            msgspec.structs.replace(each, slices=()) if each.suspends and each.is_broken else each
            for each in of.watches
        ),
    )


def in_words(found: Measured) -> str:
    of = f" of {found.column:.40}" if found.column else ""
    unit = "rows" if found.metric == "psi" else "requests"
    samples = f"{found.samples} {unit} of {_span(found.window)}"
    return f"{found.metric}{of} is {found.value:g}, over {found.limit:g}, in {samples}"


def _added(watch: Watch, observed: ModelObserved, until: float) -> Watch:
    window, slices = watch.condition.window, list(watch.slices)
    new, references = _slice(watch, observed, until)
    if new is None:
        return watch
    if slices and until - slices[-1].since < window / SLICES:
        new = _merged(slices.pop(), new)
    slices = [each for each in (*slices, new) if each.until > until - window]
    counted = {column for each in slices for column in each.columns}
    known = {**watch.references, **references}  # a window need not have all the columns of those before it
    return msgspec.structs.replace(
        watch,
        slices=tuple(slices),
        references={column: known[column] for column in known if column in counted},
        heard_at=until,
    )


def _slice(watch: Watch, observed: ModelObserved, until: float) -> tuple[Slice | None, Columns]:
    match watch.condition.metric:
        case "errors":
            return _requests(observed, observed.errors, until), {}
        case "refusals":
            return _requests(observed, observed.refused, until), {}
        case "psi":
            if observed.drift is None or not observed.drift.parts:
                return None, {}
            parts = observed.drift.parts
            columns = {each.column: each.counts for each in parts}
            return Slice(since=until, until=until, columns=columns), {
                each.column: each.reference for each in parts
            }


def _requests(observed: ModelObserved, bad: int, until: float) -> Slice:
    return Slice(since=until, until=until, samples=observed.requests, bad=bad)


def _merged(earlier: Slice, later: Slice) -> Slice:
    return Slice(
        since=earlier.since,
        until=later.until,
        samples=earlier.samples + later.samples,
        bad=earlier.bad + later.bad,
        columns=_pooled((earlier.columns, later.columns)),
    )


def _pooled(all_: Iterable[Columns]) -> Columns:
    """Counts added up. Those of another form than the later ones are of another model, and count no more."""
    pooled: Columns = {}
    for columns in all_:
        for column, counts in columns.items():
            before = pooled.get(column, ())
            pooled[column] = (
                tuple(a + b for a, b in zip(before, counts, strict=True))
                if len(before) == len(counts)
                else counts
            )
    return pooled


def _settled(watch: Watch) -> Watch:
    found = measured(watch)
    return watch if found is None else msgspec.structs.replace(watch, is_broken=found.value > watch.limit)


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
