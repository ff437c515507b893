"""Files that are sent whole, under the sha256 of their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from anyio import open_file
from fastapi import Request

from placet.errors import Refused, TooLarge


async def receive_whole(request: Request, into: Path, wanted: str, limit: int, too_large: TooLarge) -> int:
    """Write the body to a file while hashing it; its bytes. Raises `too_large`, or Refused when it is not what its name
    says."""
    sha256, size = hashlib.sha256(), 0
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise too_large
    async with await open_file(into, "wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise too_large
            sha256.update(chunk)
            await file.write(chunk)
    got = f"sha256:{sha256.hexdigest()}"
    if got != wanted:
        raise Refused(
            f"the {size} bytes sent are {got}, not {wanted}", fix="send the file whose sha256 you name"
        )
    return size
