"""Who hangs, and who is only busy."""

from __future__ import annotations

import pytest
from placet.deployer.adapters.pulse import TIMES, TIMES_AT_WORK, Allowance, Pulse

ALLOWANCE = Allowance(loading=60.0, answer=5.0)


class Patient:
    """Somebody whose pulse is felt every ten seconds."""

    def __init__(self) -> None:
        self.pulse = Pulse(pid=1, began=1000.0, looked=1000.0, cpu=3.0)

    def felt(self, times: int, *, is_answered: bool = False, cores: float = 0.0) -> str | None:
        for _ in range(times):
            now = self.pulse.looked + 10.0
            self.pulse.note(is_answered=is_answered, now=now, cpu=self.pulse.cpu + 10.0 * cores)
        return self.pulse.objection(ALLOWANCE)


@pytest.fixture
def patient() -> Patient:
    return Patient()


def test_who_answers_lives(patient: Patient) -> None:
    assert patient.felt(1000, is_answered=True) is None


def test_who_is_silent_and_idle_for_several_times_hangs(patient: Patient) -> None:
    assert patient.felt(1, is_answered=True) is None
    assert patient.felt(TIMES - 1) is None
    assert patient.felt(1) == "it hung: 3 times in a row it did not answer within 5 s"


def test_one_answer_is_enough_to_begin_anew(patient: Patient) -> None:
    for _ in range(20):
        assert patient.felt(1, is_answered=True) is None
        assert patient.felt(TIMES - 1) is None


def test_who_computes_may_be_silent_for_longer(patient: Patient) -> None:
    """A prediction that keeps the interpreter for itself."""
    assert patient.felt(1, is_answered=True) is None
    assert patient.felt(TIMES_AT_WORK - 1, cores=0.9) is None
    assert patient.felt(1, is_answered=True) is None


def test_who_computes_for_ever_hangs(patient: Patient) -> None:
    assert patient.felt(1, is_answered=True) is None
    assert patient.felt(TIMES_AT_WORK, cores=1.0) == "it hung: 30 times in a row it did not answer within 5 s"


def test_who_loads_is_not_asked_to_answer_yet(patient: Patient) -> None:
    assert patient.felt(6) is None
    assert patient.felt(1) == "it hung: it was not ready within 60 s"
