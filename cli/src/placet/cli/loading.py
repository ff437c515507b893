"""Modules are imported without a look for garbage among what they make, nearly all of which stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """A quarter of the time to load the platform went to collections that found nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
