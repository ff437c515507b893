"""Is the service in this container ready? This file, as a program, ends with 0, or with 1 and the reason.

For engines that ask by starting a program, where nothing else is that could ask over HTTP. They ask each few seconds,
and of every container, so it is run by its path and not as a module: with the package around it come all that services
are made of, and more than a second of work each time. `python3 -I -S` leaves out what it does not need, too.
"""

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT = 8.0
"""Seconds."""


def main() -> int:
    port = int(os.environ.get("PLACET_HTTP_PORT") or 8080)
    scheme, asking = _asking(port)
    try:
        asking.request("GET", "/readyz")
        answer = asking.getresponse()
        said = answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as silent:
        sys.stdout.write(f"{scheme}://127.0.0.1:{port}/readyz does not answer: {silent}\n")
        return 1
    if answer.status == 200:
        return 0
    sys.stdout.write(f"{said}\n")
    return 1


def _asking(port: int) -> tuple[str, http.client.HTTPConnection]:
    if not os.environ.get("PLACET_HTTP_TLS_CERTIFICATE"):
        return "http", http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    import ssl  # which takes longer than the rest of it

    # Nothing is told, and nobody else is at this address: the certificate is of the name that others have for it.
    unverified = ssl._create_unverified_context()  # noqa: S323
    return "https", http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT, context=unverified)


if __name__ == "__main__":
    sys.exit(main())
