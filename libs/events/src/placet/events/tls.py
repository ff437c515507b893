"""What a server shows of itself where its connections are encrypted: a certificate and its key, as files in PEM.

They are looked at again as long as it runs, so that a certificate that was renewed needs no restart: who connects from
then on is shown the new one. What is half written, does not fit or cannot be read is not taken, and said once; the one
before goes on. It is no matter of models' certificates (`placet.trust`), and nothing is signed with these keys.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from placet.errors import Refused
from placet.events.settings import HttpSettings

log = logging.getLogger(__name__)

CERTIFICATE, KEY, CLIENT_CA = (
    "PLACET_HTTP_TLS_CERTIFICATE",
    "PLACET_HTTP_TLS_KEY",
    "PLACET_HTTP_TLS_CLIENT_CA",
)
ENDS_SOON = timedelta(days=7)
"""Who renews by machine has done so by then: cert-manager a third of a certificate's life before its end."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class ShownCertificate:
    """`context` is what servers encrypt by; `look` reads the files again where they changed. Raises Refused at first.

    With `client_ca` clients are asked for a certificate of that authority: who shows another's is not let in, and who
    shows none is a matter of the server's.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        now: Callable[[], datetime],
        client_ca: Path | None = None,
    ) -> None:
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._now = now
        self._stamp = self._tried = self._stamped()
        self._current = self._read()
        self.context = self._current
        # Asked with each handshake, also of who names nobody: what was read last is taken whole, or not at all.
        self.context.sni_callback = self._show
        self._tell_when_it_ends()

    def look(self) -> None:
        """What is wrong is tried again each time, and said once for each state of the files."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        try:
            self._current = self._read()
        except Refused as wrong:
            if stamp != self._tried:
                log.warning("the certificate that was there before is shown: %s", wrong)
            self._tried = stamp
            return
        self._stamp = self._tried = stamp
        log.info("%s is shown from now on, as it was read again", self._certificate)
        self._tell_when_it_ends()

    def _show(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _must_be_readable(CERTIFICATE, self._certificate)
        _must_be_readable(KEY, self._key)
        try:
            context.load_cert_chain(self._certificate, self._key, password=_has_none)
        except _Encrypted:
            raise Refused(
                f"{KEY}: {self._key} is encrypted with a passphrase",
                fix="give one without, which nobody but the service's user may read",
            ) from None
        except ssl.SSLError as error:
            _refuse(self._certificate, self._key, error)
        if self._client_ca is not None:
            _must_be_readable(CLIENT_CA, self._client_ca)
            try:
                context.load_verify_locations(self._client_ca)
            except ssl.SSLError as error:
                raise Refused(f"{CLIENT_CA}: {self._client_ca} has no certificate in PEM") from error
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _tell_when_it_ends(self) -> None:
        shown = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
        ends, now = shown.not_valid_after_utc, self._now()
        if ends <= now:
            log.warning("%s: %s ended at %s: who checks it refuses it", CERTIFICATE, self._certificate, ends)
        elif shown.not_valid_before_utc > now:
            log.warning(
                "%s: %s holds only from %s on", CERTIFICATE, self._certificate, shown.not_valid_before_utc
            )
        elif ends - now <= ENDS_SOON:
            log.warning("%s: %s ends at %s", CERTIFICATE, self._certificate, ends)

    def _stamped(self) -> Stamp:
        files: Sequence[Path | None] = (self._certificate, self._key, self._client_ca)
        return tuple(_stamp(each) for each in files)


def shown_certificate(
    settings: HttpSettings, now: Callable[[], datetime], client_ca: Path | None = None
) -> ShownCertificate | None:
    """None where HTTP is not encrypted. Raises Refused for files that do not do."""
    if settings.http_tls_certificate is None or settings.http_tls_key is None:
        return None
    return ShownCertificate(
        settings.http_tls_certificate, settings.http_tls_key, now=now, client_ca=client_ca
    )


class _Encrypted(Exception):
    """A key that wants a passphrase, which OpenSSL would ask a terminal for."""


def _has_none() -> NoReturn:
    raise _Encrypted


def _must_be_readable(variable: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise Refused(f"{variable}: {file} cannot be read: {error.strerror}") from error


def _refuse(certificate: Path, key: Path, error: ssl.SSLError) -> NoReturn:
    if error.reason == "KEY_VALUES_MISMATCH":
        raise Refused(
            f"{KEY}: {key} is not the key of the certificate in {certificate}",
            fix="give the two that were made together; the server's own certificate stands first in its file",
        ) from error
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())
    except ValueError:
        found = []
    if not found:
        raise Refused(f"{CERTIFICATE}: {certificate} has no certificate in PEM") from error
    if b"PRIVATE KEY-----" not in key.read_bytes():
        raise Refused(f"{KEY}: {key} has no private key in PEM") from error
    raise Refused(f"{CERTIFICATE}, {KEY}: they cannot be used: {error.reason or error}") from error


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    """Another one for each state of a file, also where it is a link that leads elsewhere, as in a mounted Secret."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
