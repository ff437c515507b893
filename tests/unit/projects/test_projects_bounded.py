"""What a bounded process says where it ends by another way than it should."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RAISING = """
import sys
from placet.projects.bounded import answer
def find(arguments):
    raise SystemError(arguments[0])
answer(sys.argv[1:], find)
"""


def ended(words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-c", RAISING, str(256 * 1024**2), "10", words]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.mark.parametrize(
    "words", ["error return without exception set", "<x> returned NULL without setting an exception"]
)
def test_a_call_that_had_no_memory_for_its_frame_took_too_much_of_it(words: str) -> None:
    said = json.loads(ended(words).stdout)
    assert said["kind"] == "Refused"
    assert said["detail"].endswith("takes more than 256 MiB of memory")


def test_another_error_of_the_interpreter_is_told_as_what_it_is() -> None:
    found = ended("bad argument to internal function")
    assert found.returncode == 1
    assert b"SystemError: bad argument to internal function" in found.stderr
