"""Whether an instance that runs still lives, or hangs: stopped, or waiting for what never comes. Pure, without a clock.

The model server answers from its event loop while a prediction is in its thread, so a model that is busy answers. One
whose code keeps the whole interpreter for itself does not; that it uses the processor tells it from one that hangs,
and it is given as long as callers wait for an answer. A prediction that never ends while its server answers is not
found here: from outside it is a long one, and its callers are told so when their own time is over.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMES = 3
"""Questions in a row without an answer, and without any work, after which it hangs."""
TIMES_AT_WORK = 30
"""The same for one that works."""
AT_WORK = 0.05
"""Of a core."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """Seconds: until its first answer, and for the answer to one question."""

    loading: float
    answer: float


@dataclass(kw_only=True)
class Pulse:
    """What is known of one process. Times are monotonic seconds, `cpu` is seconds of the processor that it has used."""

    pid: int
    began: float
    looked: float
    cpu: float
    has_answered: bool = False
    unanswered: int = 0
    idle: int = 0

    def note(self, *, is_answered: bool, now: float, cpu: float) -> None:
        works = cpu - self.cpu > AT_WORK * (now - self.looked)
        self.looked, self.cpu = now, cpu
        self.has_answered = self.has_answered or is_answered
        self.unanswered = 0 if is_answered else self.unanswered + 1
        self.idle = 0 if is_answered or works else self.idle + 1

    def objection(self, allowance: Allowance) -> str | None:
        """Why it is to be ended, if it hangs."""
        if not self.has_answered:
            is_late = self.looked - self.began > allowance.loading
            return f"it hung: it was not ready within {allowance.loading:g} s" if is_late else None
        if self.idle >= TIMES or self.unanswered >= TIMES_AT_WORK:
            return (
                f"it hung: {self.unanswered} times in a row it did not answer within {allowance.answer:g} s"
            )
        return None
