"""From policies and facts to verdicts.

A rule that cannot be decided (a fact is missing, the expression fails, loops or eats memory) is indeterminate,
and indeterminate counts as failed, with the reason: silence never lets a model through. Expressions are
evaluated in worker processes that the kernel bounds; a few are kept and used again. The engine reads no clock:
which policies are in force follows from the fact `now`.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from placet.errors import Unavailable
from placet.rules.asking import Asked, Asking, Question, item, question, requests
from placet.rules.conditions import Answer, Condition, Decision, Saying
from placet.rules.policy import Awaits, OnFail, Policy, Result, Rule, Stage
from placet.rules.sentences import MAX_LISTED, filled_in

MAX_SAID = 20
"""Sentences of one rule about different things of a list."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule said. `why` and `fix` are there unless it passed, and hold nothing personal.

    `exception` names the one that lets the project pass all the same; the result stays what it is. `awaits` is there if
    it failed for what people can still do.
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
    awaits: Awaits | None = None

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

    A context that is left ends what it is asked at that moment, too: no thread can be ended, and nobody waits for one.

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
        self._starting = threading.Lock()
        self._workers: set[_Worker] = set()
        self._is_over = False

    async def evaluate(
        self, policies: Sequence[Policy], stage: Stage, facts: Mapping[str, Any], *, partial: bool = False
    ) -> tuple[Verdict, ...]:
        return await asyncio.to_thread(self.evaluate_sync, policies, stage, facts, partial=partial)

    async def evaluate_many(
        self, policies: Sequence[Policy], stage: Stage, many: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Verdict, ...]]:
        return await asyncio.to_thread(self.evaluate_many_sync, policies, stage, many)

    def evaluate_sync(
        self, policies: Sequence[Policy], stage: Stage, facts: Mapping[str, Any], *, partial: bool = False
    ) -> tuple[Verdict, ...]:
        """The verdict of every rule of that stage, of the policies that are in force and apply, in their order.

        Of `partial` facts it is known that some are missing: there is no verdict then on what cannot be decided.
        """
        return self.evaluate_many_sync(policies, stage, (facts,), partial=partial)[0]

    def evaluate_many_sync(
        self,
        policies: Sequence[Policy],
        stage: Stage,
        many: Sequence[Mapping[str, Any]],
        *,
        partial: bool = False,
    ) -> list[tuple[Verdict, ...]]:
        """The same for each of many facts, in as few requests as they fit into."""
        asking = Asking(policies, stage)
        batch = [asking.of(facts) for facts in many]
        answers = self._answers_together(batch)
        return [
            self._verdicts(each, iter(said), partial=partial)
            for each, said in zip(batch, answers, strict=True)
        ]

    def _verdicts(self, asked: Asked, answers: Iterator[Answer], *, partial: bool) -> tuple[Verdict, ...]:
        facts = asked.facts
        verdicts: list[Verdict] = []
        does_not_apply: set[str] = set()
        for each in asked.questions:
            if each.rule is None:
                # Only a clear no: a policy whose condition cannot be decided applies.
                answer = next(answers).get("value")
                if answer is False or (partial and answer is not True):
                    does_not_apply.add(each.policy.digest)
                continue
            decision = each.decided(answers)
            if partial and decision.result == "indeterminate":
                continue
            if each.policy.digest not in does_not_apply:
                verdicts.append(self._verdict(each.policy, each.rule, decision, facts))
        return tuple(verdicts)

    def sayings(self, policy: Policy, rule: Rule, facts: Mapping[str, Any]) -> tuple[Saying, ...]:
        """What the rule says of these facts if it fails, not yet filled in."""
        asked = question(policy, rule, facts)
        decision = asked.decided(self._answers([asked], facts))
        return self._sayings(policy, rule, decision.broken, facts) if decision.result == "fail" else ()

    def references(self, expressions: Sequence[str]) -> list[Answer]:
        """For each expression its variables and functions, or the error, as the compiler says them."""
        return self._ask({}, "compile", list(expressions))

    def close(self) -> None:
        """Waits for what it is asked at this moment. It can be asked again."""
        for _ in range(self._count):
            worker = self._slots.get()
            if worker is not None:
                self._end(worker)
            self._slots.put(None)

    def end(self) -> None:
        """For good, and at once: whoever still asks gets Unavailable."""
        with self._starting:
            self._is_over = True
            for worker in self._workers:
                worker.kill()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _answers_together(self, batch: Sequence[Asked]) -> list[list[Answer]]:
        """Those to each of a batch. Where a request ends its worker, each of it is asked by itself."""
        answers: list[list[Answer]] = []
        for request in requests(batch):
            told = self._ask_at_once(request.encoded())
            answers += (
                request.taken_apart(told)
                if told is not None
                else [list(self._answers(each.questions, each.facts)) for each in request.batch]
            )
        return answers

    def _ask_at_once(self, request: bytes) -> Any:
        """What is answered in one line, or none if that ended the worker."""
        worker = self._slots.get()
        try:
            if worker is None:
                worker = self._started()
            for line in worker.ask(request, 1):
                return line
            self._end(worker)
            worker = None
            return None
        except BaseException:
            if worker is not None:
                self._end(worker)
            worker = None
            raise
        finally:
            self._slots.put(worker)

    def _started(self) -> _Worker:
        with self._starting:
            if self._is_over:
                raise Unavailable("rules are evaluated no more: who asked for it went away", fix="ask again")
            worker = _Worker(self._seconds)
            self._workers.add(worker)
            return worker

    def _end(self, worker: _Worker) -> None:
        with self._starting:
            self._workers.discard(worker)
        worker.end()

    def _answers(self, questions: Sequence[Question], facts: Mapping[str, Any]) -> Iterator[Answer]:
        items = [item for each in questions for item in each.items()]
        return iter(self._ask({"facts": facts}, "items", items))

    def _verdict(self, policy: Policy, rule: Rule, decision: Decision, facts: Mapping[str, Any]) -> Verdict:
        why: str | None
        match decision.result:
            case "pass":
                why = None
            case "fail":
                said = self._sayings(policy, rule, decision.broken, facts)
                words = [filled_in(*each, most=self._most) for each in said]
                why = _listed(words) or f"{rule.title}: this is not so"
            case "indeterminate":
                # What the rule would say may need the very fact that is missing.
                why = f"{rule.title}: this could not be decided, because {decision.reason}"
        return Verdict(
            rule=rule.id,
            policy=policy.id,
            title=rule.title,
            stage=rule.stage,
            result=decision.result,
            on_fail=rule.on_fail,
            why=why,
            fix=None if why is None else filled_in(rule.fix, {**facts, "params": policy.params}),
            exceptable=rule.exceptable,
            awaits=rule.awaits if decision.result == "fail" else None,
        )

    def _sayings(
        self, policy: Policy, rule: Rule, broken: Sequence[Condition], facts: Mapping[str, Any]
    ) -> tuple[Saying, ...]:
        shown = [{**facts, "params": policy.params, **condition.bound} for condition in broken]
        match rule.say:
            case None:
                words = [condition.words or "" for condition in broken]
                return tuple(Saying(*each) for each in zip(words, shown, strict=True))
            case str(say):
                return tuple(Saying(say, each) for each in shown)
            case cases:
                pairs = list(itertools.product(zip(broken, shown, strict=True), cases))
                items = [item(policy, case.when, condition.bound) for (condition, _), case in pairs]
                answers = self._ask({"facts": facts}, "items", items)
                return tuple(
                    Saying(case.words, filling)
                    for ((_, filling), case), answer in zip(pairs, answers, strict=True)
                    if answer.get("value") is True
                )

    def _ask(self, request: Answer, key: str, items: list[Any]) -> list[Answer]:
        """An answer for each item. One that ends its worker is answered by how it ended, and the rest goes on."""
        answers: list[Answer] = []
        worker = self._slots.get()
        try:
            while len(answers) < len(items):
                if worker is None:
                    worker = self._started()
                left = items[len(answers) :]
                answers += worker.ask(msgspec.json.encode({**request, key: left}), len(left))
                if len(answers) < len(items):
                    answers.append(worker.how_it_ended())
                    self._end(worker)
                    worker = None
        except BaseException:
            if worker is not None:
                self._end(worker)
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
        return {"error": "time" if status == -signal.SIGPROF else "ended"}

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _listed(said: Sequence[str]) -> str:
    different = list(dict.fromkeys(said))
    rest = len(different) - MAX_SAID
    return "; ".join(different[:MAX_SAID]) + (f"; and {rest} more" if rest > 0 else "")
