"""From policies and facts to verdicts.

A rule that cannot be decided (a fact is missing, the expression fails, loops or eats memory) is indeterminate,
and indeterminate counts as failed, with the reason: silence never lets a model through. Expressions are
evaluated in worker processes that the kernel bounds; a few are kept and used again. The engine reads no clock:
which policies are in force follows from the fact `now`.
"""

from __future__ import annotations

import asyncio
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from placet.errors import Refused
from placet.rules.policy import OnFail, Policy, Result, Rule, Stage
from placet.rules.sentences import MAX_LISTED, filled_in

Answer = dict[str, Any]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said. `why` and `fix` are there unless it passed, and hold nothing personal.

    `exception` names the one that lets the project pass all the same; the result stays what it is.
    """

    rule: str
    policy: str
    title: str
    stage: Stage
    result: Result
    on_fail: OnFail
    why: str | None = None
    fix: str | None = None
    exceptable: bool = False
    exception: str | None = None

    @property
    def is_passed(self) -> bool:
        return self.result == "pass"

    @property
    def is_refusal(self) -> bool:
        """It was not passed, and that is neither merely a warning nor excepted."""
        return not self.is_passed and self.on_fail != "warn" and self.exception is None


def excepted(verdicts: Sequence[Verdict], exceptions: Mapping[str, str]) -> tuple[Verdict, ...]:
    """The verdicts, of which those that would refuse name their exception; `exceptions` are ids by rule.

    A rule that admits none has none, whatever was granted.
    """
    return tuple(
        msgspec.structs.replace(verdict, exception=exceptions[verdict.rule])
        if verdict.exceptable and verdict.is_refusal and verdict.rule in exceptions
        else verdict
        for verdict in verdicts
    )


class Engine:
    """Evaluates policies. Thread-safe; close it, or use it as a context manager, to end its processes.

    `seconds` is the processor time one expression gets, `workers` how many evaluations run side by side, `most`
    how many entries of a list are named in words.
    """

    def __init__(self, *, seconds: float = 1.0, workers: int = 2, most: int = MAX_LISTED) -> None:
        self._most = most
        self._seconds = seconds
        self._count = workers
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._slots.put(None)

    async def evaluate(
        self, policies: Sequence[Policy], stage: Stage, facts: Mapping[str, Any], *, partial: bool = False
    ) -> tuple[Verdict, ...]:
        return await asyncio.to_thread(self.evaluate_sync, policies, stage, facts, partial=partial)

    def evaluate_sync(
        self, policies: Sequence[Policy], stage: Stage, facts: Mapping[str, Any], *, partial: bool = False
    ) -> tuple[Verdict, ...]:
        """The verdict of every rule of that stage, of the policies that are in force and apply, in their order.

        Of `partial` facts it is known that some are missing: there is no verdict then on what cannot be decided.
        """
        in_force = [policy for policy in policies if _is_in_force(policy, facts)]
        asked: list[tuple[Policy, Rule | None, str]] = []
        for policy in in_force:
            if policy.applies_to is not None:
                asked.append((policy, None, policy.applies_to))
            asked += [(policy, rule, rule.require) for rule in policy.rules if rule.stage == stage]
        answers = self._ask(
            {"facts": facts},
            "items",
            [{"expression": text, "params": policy.params} for policy, _, text in asked],
        )
        verdicts: list[Verdict] = []
        does_not_apply: set[str] = set()
        for (policy, rule, text), answer in zip(asked, answers, strict=True):
            if rule is None:
                # Only a clear no: a policy whose condition cannot be decided applies.
                if answer.get("value") is False or (partial and answer.get("value") is not True):
                    does_not_apply.add(policy.digest)
            elif partial and not isinstance(answer.get("value"), bool):
                continue
            elif policy.digest not in does_not_apply:
                verdicts.append(self._verdict(policy, rule, text, answer, facts))
        return tuple(verdicts)

    def sentences(self, policy: Policy, rule: Rule, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """What the rule says of these facts if it fails, not yet filled in."""
        if isinstance(rule.say, str):
            return (rule.say,)
        cases = [{"expression": case.when, "params": policy.params} for case in rule.say]
        answers = self._ask({"facts": facts}, "items", cases)
        return tuple(
            case.words for case, answer in zip(rule.say, answers, strict=True) if answer.get("value") is True
        )

    def references(self, expressions: Sequence[str]) -> list[Answer]:
        """For each expression its variables and functions, or the error, as the compiler says them."""
        return self._ask({}, "compile", list(expressions))

    def close(self) -> None:
        for _ in range(self._count):
            worker = self._slots.get()
            if worker is not None:
                worker.end()
            self._slots.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _verdict(
        self, policy: Policy, rule: Rule, text: str, answer: Answer, facts: Mapping[str, Any]
    ) -> Verdict:
        result: Result
        why: str | None
        shown = {**facts, "params": policy.params}
        match answer.get("value"):
            case True:
                result, why = "pass", None
            case False:
                said = [
                    filled_in(each, shown, most=self._most) for each in self.sentences(policy, rule, facts)
                ]
                result, why = "fail", "; ".join(said) or f"{rule.title}: this is not so"
            case _:
                # What the rule would say may need the very fact that is missing.
                reason = _reason(answer, text)
                result, why = "indeterminate", f"{rule.title}: this could not be decided, because {reason}"
        return Verdict(
            rule=rule.id,
            policy=policy.id,
            title=rule.title,
            stage=rule.stage,
            result=result,
            on_fail=rule.on_fail,
            why=why,
            fix=None if result == "pass" else filled_in(rule.fix, shown),
            exceptable=rule.exceptable,
        )

    def _ask(self, request: Answer, key: str, items: list[Any]) -> list[Answer]:
        """An answer for each item. One that ends its worker is answered by how it ended, and the rest goes on."""
        answers: list[Answer] = []
        worker = self._slots.get()
        try:
            while len(answers) < len(items):
                if worker is None:
                    worker = _Worker(self._seconds)
                left = items[len(answers) :]
                answers += worker.ask(msgspec.json.encode({**request, key: left}), len(left))
                if len(answers) < len(items):
                    answers.append(worker.how_it_ended())
                    worker = None
        except BaseException:
            if worker is not None:
                worker.end()
            worker = None
            raise
        finally:
            self._slots.put(worker)
        return answers


class _Worker:
    def __init__(self, seconds: float) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py")), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, request: bytes, count: int) -> Iterator[Answer]:
        """`count` answers, or fewer if the process ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return
        try:
            stdin.write(request + b"\n")
            stdin.flush()
        except BrokenPipeError:
            return
        for _ in range(count):
            line = stdout.readline()
            if not line.endswith(b"\n"):
                return
            yield msgspec.json.decode(line)

    def how_it_ended(self) -> Answer:
        status = self._process.wait()
        self.end()
        return {"error": "time" if status == -signal.SIGPROF else "ended"}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _is_in_force(policy: Policy, facts: Mapping[str, Any]) -> bool:
    if policy.effective is None:
        return True
    now = facts.get("now")
    if not isinstance(now, str):
        raise Refused(f"the policy {policy.id} is for a span of time, and the facts do not say when `now` is")
    return policy.is_in_force(date.fromisoformat(now[:10]))


_REASONS = {
    "index": "a list is shorter than the rule expects",
    "zero": "the rule divides by zero",
    "overflow": "a number is too large",
    "type": "a fact is of another kind than the rule expects",
    "undefined": "the rule uses something that does not exist",
    "not-boolean": "the rule is neither true nor false",
    "time": "the rule took too long",
    "ended": "the rule needed too much memory, or broke the evaluator",
}


def _reason(answer: Answer, expression: str) -> str:
    # Errors of the evaluator can hold values, and values can be people: only names the rule itself uses are told.
    if answer.get("error") == "missing":
        name = str(answer.get("name", ""))
        return f"the fact {name!r} is missing" if _uses(expression, name) else "a fact is missing"
    return _REASONS.get(str(answer.get("error")), "the evaluator failed")


def _uses(expression: str, name: str) -> bool:
    return bool(re.search(rf"\b{re.escape(name)}\b", expression)) if name.isidentifier() else False
