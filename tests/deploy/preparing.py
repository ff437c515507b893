"""The program that gives the containers of docker-compose.yml their secrets, as a module."""

from __future__ import annotations

import importlib.util
from typing import Any

from tools import workspace

PREPARE = workspace.ROOT / "deploy" / "compose" / "prepare.py"


def prepare() -> Any:
    spec = importlib.util.spec_from_file_location("prepare", PREPARE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
