"""Why something that is asked over a socket does not answer, in the words of the operating system.

The libraries in between name their own classes, and addresses as Python writes them. The same words each time, as long
as the same is wrong: they are told to people, once.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

import aiohttp

TOO_LATE = "nothing came in time"


def why_silent(error: Exception) -> str | None:
    """None where something came that is no answer."""
    causes = list(causes_of(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror | aiohttp.ClientConnectorDNSError):
            return "no machine is known by that name"
        if isinstance(cause, TimeoutError) and not cause.errno:
            return TOO_LATE
        if isinstance(cause, ssl.SSLError):
            return _in_tls(cause)
    if number := errno_of(error):
        return os.strerror(number).lower()
    hung_up = (ConnectionError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)
    return "it hung up" if any(isinstance(each, hung_up) for each in causes) else None


def errno_of(error: Exception) -> int | None:
    """Of OpenSSL's numbers none is the system's."""
    told = (
        each for each in causes_of(error) if isinstance(each, OSError) and not isinstance(each, ssl.SSLError)
    )
    return next((each.errno for each in told if each.errno), None)


def _in_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    return f"no TLS comes about: {(error.reason or 'it hung up').lower().replace('_', ' ')}"


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
