"""What these numbers were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.rows import Row


def machine() -> Row:
    cores = os.cpu_count()
    said = [f"{cores} cores of {_field('/proc/cpuinfo', 'model name') or platform.machine()}"]
    if memory := _field("/proc/meminfo", "MemTotal"):
        said.append(f"{round(int(memory.split()[0]) / 2**20)} GiB")
    said.append(f"{platform.system()} {platform.release()}")
    said.append(f"{platform.python_implementation()} {platform.python_version()}")
    if load := os.getloadavg()[0]:
        said.append(f"load {load:.1f} at the start")
    return {"name": "machine", "value": ", ".join(said), "unit": None, "goal": None, "met": None}


def _field(file: str, name: str) -> str | None:
    path = Path(file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
