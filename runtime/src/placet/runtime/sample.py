"""The project's own sample request: shown in the documentation, and asked once before the first client does.

Whether its answer is the expected one is for whoever deploys the model to check, from outside.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from placet.runtime.settings import WrongSetting


class _Sample(msgspec.Struct, frozen=True):
    request: msgspec.Raw


class Sample(msgspec.Struct, frozen=True):
    request: bytes


def read(path: Path) -> Sample:
    try:
        return Sample(bytes(msgspec.json.decode(path.read_bytes(), type=_Sample).request))
    except OSError as error:
        raise WrongSetting(f"sample {path.name} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise WrongSetting(f"sample {path.name} is not {{request, response}}: {error}") from error
