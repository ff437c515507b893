"""What every model host tells alike, whatever it runs models with: a model its settings, and people how one ended."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping

from placet.deployer.ports import InstanceSpec
from placet.events.outcome import storable

LAST_WORDS = 20
"""Lines."""
LAST_BYTES = 4000
"""They go into an event, and one line can be as long as a model likes."""


def told_to(spec: InstanceSpec, token_keys: str) -> Mapping[str, str]:
    """Environment variables of the model server's; `token_keys` is what it checks tokens with."""
    threads = str(max(1, math.ceil(spec.amount.cpu_millis / 1000)))
    return {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PLACET_PROJECT": spec.project,
        "PLACET_RELEASE": str(spec.release),
        "PLACET_ROOT_PATH": f"/models/{spec.project}",
        "PLACET_ACCESS": spec.access,
        "PLACET_MEMORY": str(spec.amount.memory_bytes),
        "PLACET_TOKEN_KEYS": token_keys,
    }


def in_a_container(spec: InstanceSpec, token_keys: str, *, scratch: str) -> Mapping[str, str]:
    """The same, and what an image does not say: `scratch` is the only folder that it may write to."""
    return {
        **told_to(spec, token_keys),
        "HOME": scratch,
        "TMPDIR": scratch,
        "USER": "model",  # its user may have no name, and libraries ask for one
        "LOGNAME": "model",
        "PYTHONUNBUFFERED": "1",
    }


def last_words(written: bytes) -> str:
    return storable(written[-LAST_BYTES:].decode(errors="replace")).strip()


def ended_with(status: int) -> str:
    return f"it ended with status {status}"


def ended_by(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        name = f"signal {number}"
    return f"it was ended by {name}"
