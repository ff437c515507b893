"""A virtual environment for each server that is measured, made once, under build/bench/venvs.

    python -m benchmarks.runtime.environments --write

locks them again. No two of these servers can be locked together. All have the same scikit-learn, XGBoost and numpy,
and only wheels: the hashes are those of what Linux installs, since pinning to cores is Linux's, too.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker

CHECKOUT = Path(__file__).parents[2]
LOCKS = Path(__file__).with_name("locks")
VENVS = CHECKOUT / "build" / "bench" / "venvs"
UV = str(Path(sys.executable).with_name("uv"))

LIBRARIES = ("scikit-learn==1.9.1", "joblib==1.6.0", "xgboost-cpu==3.2.0", "numpy==2.4.6")
NEEDS = {
    "placet": ("uvicorn", "uvloop", "httptools", "prometheus-client", "msgspec", "cryptography"),
    "starlette": ("starlette", "uvicorn", "uvloop", "httptools"),
    "mlserver": ("mlserver", "mlserver-sklearn", "mlserver-xgboost"),
    "mlflow": ("mlflow",),
    "bentoml": ("bentoml",),
    "kserve": ("kserve",),
}
PYTHONS = ("3.11", "3.12", "3.13")
MACHINE = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
INSTEAD = LOCKS / "overrides"
"""What asks for XGBoost gets xgboost-cpu, which is the same without some hundred megabytes for graphics cards."""


def programs(name: str) -> Path:
    """The folder of the environment's programs, with everything compiled as in an image."""
    folder = VENVS / name
    lock = LOCKS / f"{name}.txt"
    made = folder / "made"
    if not made.exists() or made.read_text() != lock.read_text():
        python = str(folder / "bin" / "python")
        for command in (
            (UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
            (UV, "pip", "install", "--quiet", "--compile-bytecode", "--no-deps", "--require-hashes",
             "--python", python, "--requirement", str(lock)),
        ):  # fmt: skip
            subprocess.run(command, check=True)  # noqa: S603 -- a command of ours
        made.write_text(lock.read_text())
    return folder / "bin"


def write() -> None:
    for name, needs in NEEDS.items():
        lines = [line for package in _resolved(needs) for line in _entry(package)]
        (LOCKS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _resolved(needs: tuple[str, ...]) -> list[dict[str, Any]]:
    done = subprocess.run(  # noqa: S603 -- a command of ours
        (UV, "pip", "compile", "-", "--quiet", "--universal", "--format", "pylock.toml",
         "--python-version", "3.11", "--only-binary", ":all:", "--override", str(INSTEAD)),
        input="\n".join((*needs, *LIBRARIES)), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    packages: list[dict[str, Any]] = tomllib.loads(done.stdout)["packages"]
    return [package for package in packages if _is_installed(package.get("marker", ""))]


def _is_installed(condition: str) -> bool:
    environments = ({"python_full_version": f"{version}.0", "python_version": version} for version in PYTHONS)
    return not condition or any(Marker(condition).evaluate({**each, **MACHINE}) for each in environments)


def _entry(package: dict[str, Any]) -> list[str]:
    hashes = sorted(wheel["hashes"]["sha256"] for wheel in package["wheels"] if _is_for_linux(wheel))
    condition = f" ; {package['marker']}" if "marker" in package else ""
    lines = [
        f"{package['name']}=={package['version']}{condition}",
        *(f"    --hash=sha256:{each}" for each in hashes),
    ]
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _is_for_linux(wheel: dict[str, Any]) -> bool:
    name = str(wheel.get("name") or wheel["url"].rsplit("/", 1)[1])
    *_, python, _, platform = name.removesuffix(".whl").split("-")
    fits = (
        python in [f"cp{version.replace('.', '')}" for version in PYTHONS]
        or "py3" in python
        or "abi3" in name
    )
    return fits and (
        platform == "any" or ("manylinux" in platform and platform.endswith(("x86_64", "aarch64")))
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
