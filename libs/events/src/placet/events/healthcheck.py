"""Is the service in this container ready? `python -m placet.events.healthcheck` ends with 0, or with 1 and the reason.

For engines that ask by starting a program, where nothing else is that could ask over HTTP.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

TIMEOUT = 4.0
"""Seconds."""


def main() -> int:
    address = f"http://127.0.0.1:{os.environ.get('PLACET_HTTP_PORT', '8080')}/readyz"
    # Nobody's proxy is between a container and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=TIMEOUT):
            return 0
    except urllib.error.HTTPError as unready:
        sys.stdout.write(unready.read(2000).decode(errors="replace") + "\n")
    except OSError as silent:
        sys.stdout.write(f"{address} does not answer: {silent}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
