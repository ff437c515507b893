"""A registry over the network: the OCI Distribution API, version 1.1 or older.

Calls that may be repeated are repeated when the registry is away or overloaded, after the delay it asks
for. Blobs go and come in pieces and are never whole in memory, except where the caller asks for bytes.
Where the registry has no referrers API (Debian's 2.8 has none), referrers are kept by the tag schema.
Registries cannot change a tag conditionally, so after each change the listing is read again and the change
is made again if somebody else's went over it. What it does not do: resume a broken transfer, or speak
anything but sha256.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit
from weakref import WeakValueDictionary

import aiohttp
from yarl import URL

from placet.errors import Forbidden, PlacetError, Refused, TooLarge, Unavailable, Unknown, Unreadable
from placet.oci.authentication import Challenge, Credentials
from placet.oci.content import (
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    NOTHING,
    OCTET_STREAM,
    READ_LIMIT,
    Descriptor,
    Manifest,
    checked_digest,
    checked_reference,
    checked_repository,
    is_digest,
    sha256_digest,
)
from placet.oci.files import digest_of_file, new_file, publish
from placet.oci.referrers import (
    is_referrers_tag,
    of_type,
    own_tag,
    referrers_tag,
    with_referrer,
    without_referrer,
)

T = TypeVar("T")

_PIECE = 1024 * 1024
_CHUNK = 64 * 1024 * 1024
_PAGE = 100
_ANSWER_LIMIT = 8 * 1024 * 1024
_LONGEST_WAIT = 30.0
_LISTING_ROUNDS = 20
_CONNECTING = 10.0
_SILENCE = 60.0
_ENDING = 5.0
_RETRY_DELAYS = (0.1, 0.4, 1.6)


class DistributionRegistry:
    """A `Registry` at `http(s)://host:port[/prefix]`; the prefix goes in front of every repository.

    `retry_delays` are the seconds between the tries of a call that may be repeated, `silence` those after which one
    that says nothing is given up.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        retry_delays: Sequence[float] = _RETRY_DELAYS,
        silence: float = _SILENCE,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(f"{url!r} is no address of a registry", fix="write http(s)://host:port[/prefix]")
        self._host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._prefix = parts.path.strip("/")
        if self._prefix:
            checked_repository(self._prefix)
        self._credentials = credentials
        self._retry_delays = tuple(retry_delays)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTING, sock_read=silence)
        self._session: aiohttp.ClientSession | None = None
        self._authorizations: dict[str, str] = {}
        self._listing_locks: dict[str, asyncio.Lock] = {}
        # An entry is gone when nobody holds or awaits its lock.
        self._sending: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def address(self) -> str:
        return f"{self._host}/{self._prefix}".rstrip("/")

    # -- blobs ------------------------------------------------------------------------------------

    async def blob_exists(self, repository: str, digest: str) -> bool:
        url = self._url(repository, "blobs", checked_digest(digest))

        async def ask() -> bool:
            async with self._call("HEAD", url, self._scope(repository, "pull"), accept={404}) as answer:
                return answer.status == 200

        return await self._repeated(ask)

    async def stream_blob(self, repository: str, digest: str) -> AsyncGenerator[bytes, None]:
        url = self._url(repository, "blobs", checked_digest(digest))
        seen = hashlib.sha256()
        async with self._call("GET", url, self._scope(repository, "pull")) as answer:
            async for piece in answer.content.iter_chunked(_PIECE):
                seen.update(piece)
                yield piece
        if f"sha256:{seen.hexdigest()}" != digest:
            raise Refused(f"{self.address} sent other bytes than {digest} for {repository}")

    async def read_blob(self, repository: str, digest: str, *, limit: int = READ_LIMIT) -> bytes:
        async def read() -> bytes:
            content = bytearray()
            async with aclosing(self.stream_blob(repository, digest)) as pieces:
                async for piece in pieces:
                    content += piece
                    if len(content) > limit:
                        raise TooLarge(f"blob {digest} in {repository} is over the limit of {limit} bytes")
            return bytes(content)

        return await self._repeated(read)

    async def save_blob(self, repository: str, digest: str, into: Path) -> None:
        async def save() -> None:
            try:
                await asyncio.to_thread(into.parent.mkdir, parents=True, exist_ok=True)
                with new_file(into.parent) as file:
                    async with aclosing(self.stream_blob(repository, digest)) as pieces:
                        async for piece in pieces:
                            await asyncio.to_thread(file.write, piece)
                    await asyncio.to_thread(publish, file, into)
            except OSError as error:
                raise Unavailable(f"the file {into.name} cannot be written: {error.strerror}") from error

        await self._repeated(save)

    async def put_blob(
        self,
        repository: str,
        content: bytes | Path,
        *,
        digest: str | None = None,
        media_type: str = OCTET_STREAM,
    ) -> Descriptor:
        found = sha256_digest(content) if isinstance(content, bytes) else await _hashed(content)
        if digest is not None and checked_digest(digest) != found:
            raise Refused(f"content for {repository} should be {digest} and is {found}")
        size = len(content) if isinstance(content, bytes) else await _size(content)
        # Sent twice at once, what one has put is looked at while the other writes it anew, and is half there.
        async with self._sending.setdefault(f"{repository}@{found}", asyncio.Lock()):
            if not await self.blob_exists(repository, found):
                await self._repeated(lambda: self._upload(repository, content, found, size))
        return Descriptor(media_type=media_type, digest=found, size=size)

    async def mount_blob(self, repository: str, digest: str, *, source: str) -> bool:
        if await self.blob_exists(repository, digest):
            return True
        uploads = f"{self._url(repository, 'blobs', 'uploads')}/"
        query = f"mount={quote(digest)}&from={quote(self._name(source), safe='')}"
        scope = f"{self._scope(repository, 'pull,push')} {self._scope(source, 'pull')}"
        async with self._call("POST", f"{uploads}?{query}", scope) as answer:
            if answer.status == 201:
                return True
            upload = self._location(answer)
        async with self._call("DELETE", upload, self._scope(repository, "pull,push"), accept={404, 405}):
            return False

    async def _upload(self, repository: str, content: bytes | Path, digest: str, size: int) -> None:
        scope = self._scope(repository, "pull,push")
        async with self._call("POST", f"{self._url(repository, 'blobs', 'uploads')}/", scope) as answer:
            upload = self._location(answer)
        try:
            await self._send_pieces(upload, content, digest, size, scope)
        except BaseException:
            # It would lie there for days, and nobody would ever go on with it.
            with suppress(PlacetError, TimeoutError):
                async with (
                    asyncio.timeout(_ENDING),
                    self._call("DELETE", upload, scope, accept={404, 405}),
                ):
                    pass
            raise

    async def _send_pieces(
        self, upload: str, content: bytes | Path, digest: str, size: int, scope: str
    ) -> None:
        rest = range(0, size)
        while len(rest) > _CHUNK:
            chunk, rest = rest[:_CHUNK], rest[_CHUNK:]
            ranged = {"Content-Range": f"{chunk.start}-{chunk.stop - 1}"}
            async with self._call(
                "PATCH", upload, scope, headers=ranged, body=_Body(content, chunk)
            ) as answer:
                upload = self._location(answer)
        last = f"{upload}{'&' if '?' in upload else '?'}digest={quote(digest)}"
        async with self._call("PUT", last, scope, body=_Body(content, rest)) as answer:
            self._check_kept(answer, digest)

    # -- manifests --------------------------------------------------------------------------------

    async def manifest(self, repository: str, reference: str) -> Manifest:
        url = self._url(repository, "manifests", checked_reference(reference))

        async def get() -> Manifest:
            async with self._call("GET", url, self._scope(repository, "pull"), headers=_ACCEPT) as answer:
                body = await _limited(answer, MANIFEST_LIMIT)
                return Manifest.parse(body, answer.content_type)

        manifest = await self._repeated(get)
        if is_digest(reference) and manifest.digest != reference:
            raise Refused(f"{self.address} sent manifest {manifest.digest} for {reference}")
        return manifest

    async def resolve(self, repository: str, reference: str) -> str | None:
        url = self._url(repository, "manifests", checked_reference(reference))

        async def ask() -> tuple[bool, str]:
            scope = self._scope(repository, "pull")
            async with self._call("HEAD", url, scope, headers=_ACCEPT, accept={404}) as answer:
                return answer.status != 404, answer.headers.get("Docker-Content-Digest", "")

        exists, digest = await self._repeated(ask)
        if not exists:
            return None
        if is_digest(reference):
            return reference
        return digest if is_digest(digest) else (await self.manifest(repository, reference)).digest

    async def has_manifest(self, repository: str, digest: str) -> bool:
        if await self.resolve(repository, checked_digest(digest)) is not None:
            return True
        url = self._url(repository, "manifests", digest)

        async def ask_again_for_words() -> bool:
            scope = self._scope(repository, "pull")
            async with self._call("GET", url, scope, headers=_ACCEPT, accept={404}) as answer:
                if answer.status == 404 and not _reasons(await answer.content.read(65536))[0]:
                    raise Unavailable(
                        f"{self.address} answered 404 to GET {answer.url.path}, and not in a registry's words",
                        fix="see what answers at that address instead of the registry",
                    )
                return answer.status == 200

        return await self._repeated(ask_again_for_words)

    async def put_manifest(self, repository: str, manifest: Manifest, *, tag: str | None = None) -> str:
        if tag is not None and is_digest(checked_reference(tag)):
            raise Refused(f"{tag!r} is a digest and cannot be a tag")
        knows_subjects = await self._put_manifest(repository, manifest, tag or manifest.digest)
        if manifest.subject is not None and not knows_subjects:
            subject = manifest.subject.digest
            await self._put_manifest(repository, manifest, own_tag(subject, manifest.digest))
            await self._change_listing(
                repository, subject, lambda index: with_referrer(index, manifest.referrer)
            )
        return manifest.digest

    async def delete_manifest(self, repository: str, digest: str) -> None:
        gone = await self.manifest(repository, checked_digest(digest))
        url = self._url(repository, "manifests", digest)
        async with self._call("DELETE", url, self._scope(repository, "pull,push,delete")):
            pass
        if gone.subject is not None:
            await self._change_listing(
                repository, gone.subject.digest, lambda index: without_referrer(index, digest)
            )

    async def sweep(self, repository: str, *, before: datetime) -> int:
        return 0

    async def tags(self, repository: str) -> tuple[str, ...]:
        return tuple(sorted(tag for tag in await self._all_tags(repository) if not is_referrers_tag(tag)))

    async def entries(self, repository: str) -> tuple[tuple[str | None, str], ...]:
        found = [(tag, await self.resolve(repository, tag)) for tag in await self.tags(repository)]
        return tuple((tag, digest) for tag, digest in found if digest is not None)

    async def repositories(self) -> tuple[str, ...]:
        pages = await self._pages(f"{self._host}/v2/_catalog?n={_PAGE}", "registry:catalog:*")
        names = [str(name) for page in pages for name in page.get("repositories") or ()]
        if not self._prefix:
            return tuple(sorted(names))
        inside = f"{self._prefix}/"
        return tuple(sorted(name.removeprefix(inside) for name in names if name.startswith(inside)))

    async def referrers(
        self, repository: str, digest: str, *, artifact_type: str | None = None
    ) -> tuple[Descriptor, ...]:
        url = self._url(repository, "referrers", checked_digest(digest))
        try:
            pages = await self._pages(url, self._scope(repository, "pull"))
        except Unknown:
            return of_type(await self._listed_by_tags(repository, digest), artifact_type)
        entries = [Descriptor.parse(entry) for page in pages for entry in page.get("manifests") or ()]
        return of_type(entries, artifact_type)

    async def _put_manifest(self, repository: str, manifest: Manifest, reference: str) -> bool:
        """Whether the registry said that it keeps the manifest among its subject's referrers."""
        url = self._url(repository, "manifests", reference)
        headers = {"Content-Type": manifest.media_type}
        body = _Body(manifest.body, range(len(manifest.body)))

        async def put() -> bool:
            scope = self._scope(repository, "pull,push")
            async with self._call("PUT", url, scope, headers=headers, body=body) as answer:
                self._check_kept(answer, manifest.digest)
                return "OCI-Subject" in answer.headers

        return await self._repeated(put)

    # -- referrers by tags ------------------------------------------------------------------------

    async def _listed_by_tags(self, repository: str, subject: str) -> list[Descriptor]:
        index, tags = await asyncio.gather(self._listing(repository, subject), self._all_tags(repository))
        own = {tag for tag in tags if tag.startswith(f"{referrers_tag(subject)}.")}
        entries = []
        for entry in () if index is None else index.manifests:
            tag = own_tag(subject, entry.digest)
            if tag in own or await self.resolve(repository, entry.digest) is not None:
                entries.append(entry)
            own.discard(tag)
        return entries + [(await self.manifest(repository, tag)).referrer for tag in sorted(own)]

    async def _listing(self, repository: str, subject: str) -> Manifest | None:
        try:
            return await self.manifest(repository, referrers_tag(subject))
        except Unknown:
            return None

    async def _change_listing(
        self, repository: str, subject: str, change: Callable[[Manifest | None], Manifest | None]
    ) -> None:
        """Change the index until it reads as wanted; others may be changing it at the same time."""
        lock = self._listing_locks.setdefault(f"{repository}@{subject}", asyncio.Lock())
        async with lock:
            for _ in range(_LISTING_ROUNDS):
                changed = change(await self._listing(repository, subject))
                if changed is None:
                    return
                await self._put_manifest(repository, changed, referrers_tag(subject))
        raise Unavailable(f"others keep changing the referrers of {subject} in {repository}")

    # -- calls ------------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _all_tags(self, repository: str) -> list[str]:
        url = f"{self._url(repository, 'tags', 'list')}?n={_PAGE}"
        try:
            pages = await self._pages(url, self._scope(repository, "pull"))
        except Unknown:
            return []
        return [str(tag) for page in pages for tag in page.get("tags") or ()]

    async def _pages(self, url: str, scope: str) -> list[dict[str, Any]]:
        """All pages of a listing, followed by their `Link` headers."""
        pages: list[dict[str, Any]] = []
        following: str | None = url
        while following is not None:
            page, following = await self._repeated(partial(self._page, following, scope))
            pages.append(page)
        return pages

    async def _page(self, url: str, scope: str) -> tuple[dict[str, Any], str | None]:
        async with self._call("GET", url, scope) as answer:
            page = _json_object(await _limited(answer, _ANSWER_LIMIT), self.address)
            following = str(answer.links["next"]["url"]) if "next" in answer.links else None
        if following is not None and not self._is_own(following):
            raise Refused(f"{self.address} continues a listing on another host")
        return page, following

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        for delay in self._retry_delays:
            try:
                return await call()
            except Unavailable as error:
                wait = max(delay, error.retry_after or 0.0)
                if wait > _LONGEST_WAIT:
                    raise
                await asyncio.sleep(wait)
        return await call()

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        url: str,
        scope: str,
        *,
        headers: Mapping[str, str] = NOTHING,
        body: _Body | None = None,
        accept: Collection[int] = (),
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """One call, authenticated as it needs; a status that is neither success nor in `accept` raises."""
        try:
            answer = await self._send(method, url, scope, headers, body)
            if answer.status == 401 and self._is_own(url) and await self._authorize(answer, scope):
                answer.release()
                answer = await self._send(method, url, scope, headers, body)
            async with answer:
                if answer.status >= 300 and answer.status not in accept:
                    raise await self._error(answer, method)
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"the registry {self.address} does not answer: {str(error) or type(error).__name__}",
                fix="check that it runs and that its address is right",
            ) from error

    async def _send(
        self, method: str, url: str, scope: str, headers: Mapping[str, str], body: _Body | None
    ) -> aiohttp.ClientResponse:
        sent = dict(headers)
        if self._is_own(url) and scope in self._authorizations:
            sent["Authorization"] = self._authorizations[scope]
        if body is not None:
            sent |= {"Content-Length": str(len(body.span))}
            sent.setdefault("Content-Type", OCTET_STREAM)
        return await self._opened().request(
            method, URL(url, encoded=True), headers=sent, data=body.pieces() if body else None
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A blob's digest is that of the bytes as kept, so nothing may be decompressed on the way.
            self._session = aiohttp.ClientSession(
                timeout=self._timeout, auto_decompress=False, headers={"Accept-Encoding": "identity"}
            )
        return self._session

    async def _authorize(self, answer: aiohttp.ClientResponse, scope: str) -> bool:
        """Get what the challenge asks for. False: nothing we have would change the answer."""
        challenges = [
            challenge
            for header in answer.headers.getall("WWW-Authenticate", [])
            if (challenge := Challenge.parse(header)) is not None
        ]
        for challenge in sorted(challenges, key=lambda found: found.scheme, reverse=True):
            if challenge.scheme == "bearer":
                self._authorizations[scope] = f"Bearer {await self._token(challenge, scope)}"
                return True
            if challenge.scheme == "basic" and self._credentials is not None:
                # Of this very request: another one may have been told the same in the meantime.
                was_sent = answer.request_info.headers.get("Authorization") == self._credentials.header
                self._authorizations[scope] = self._credentials.header
                return not was_sent
        return False

    async def _token(self, challenge: Challenge, scope: str) -> str:
        if not challenge.is_safe_from(self._host):
            raise Forbidden(f"{self.address} asks for a token from a place without TLS")
        query = [("scope", one) for one in scope.split()]
        if "service" in challenge.parameters:
            query.append(("service", challenge.parameters["service"]))
        headers = {} if self._credentials is None else {"Authorization": self._credentials.header}
        async with self._opened().get(
            URL(challenge.parameters["realm"]).update_query(query), headers=headers
        ) as answer:
            if answer.status >= 300:
                raise await self._error(answer, "GET")
            document = _json_object(await _limited(answer, _ANSWER_LIMIT), challenge.parameters["realm"])
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise Forbidden(f"{challenge.parameters['realm']} gave no token for {scope}")
        return token

    async def _error(
        self, answer: aiohttp.ClientResponse, method: str
    ) -> Forbidden | Refused | TooLarge | Unavailable | Unknown:
        """What the registry said, as the kind of error a caller can act on."""
        codes, said = _reasons(b"" if method == "HEAD" else await answer.content.read(65536))
        detail = f"{self.address} answered {answer.status} to {method} {answer.url.path}{said}"
        match answer.status:
            # Distribution 2.x, which another process sends a blob of this manifest at the same time: it reads a link
            # that is still empty, and calls that no digest.
            case 400 if {"MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"} <= codes:
                return Unavailable(detail)
            case 404 if "MANIFEST_BLOB_UNKNOWN" in codes:
                return Refused(detail, fix="put the blobs first")
            case 404:
                return Unknown(detail)
            case 401 | 403:
                return Forbidden(detail, fix="give credentials that may do this")
            case 405 if method == "DELETE":
                return Refused(
                    detail, fix="allow deletions in the registry (Docker's: storage.delete.enabled: true)"
                )
            case 413:
                return TooLarge(detail)
            case status if status in (408, 425, 429) or status >= 500:
                after = answer.headers.get("Retry-After", "")
                return Unavailable(detail, retry_after=float(after) if after.isdecimal() else None)
        return Refused(detail)

    def _check_kept(self, answer: aiohttp.ClientResponse, digest: str) -> None:
        """A registry that keeps other bytes than it was sent would give them to whoever asks for these."""
        said = answer.headers.get("Docker-Content-Digest", digest)
        if is_digest(said) and said != digest:
            raise Refused(f"{self.address} keeps {digest} as {said}", fix="use another registry")

    # -- names ------------------------------------------------------------------------------------

    def _name(self, repository: str) -> str:
        checked_repository(repository)
        return f"{self._prefix}/{repository}" if self._prefix else repository

    def _url(self, repository: str, *parts: str) -> str:
        return "/".join((self._host, "v2", self._name(repository), *parts))

    def _scope(self, repository: str, actions: str) -> str:
        return f"repository:{self._name(repository)}:{actions}"

    def _is_own(self, url: str) -> bool:
        return URL(url, encoded=True).origin() == URL(self._host).origin()

    def _location(self, answer: aiohttp.ClientResponse) -> str:
        location = answer.headers.get("Location")
        if location is None:
            raise Unreadable(f"{self.address} answered an upload without saying where to send it")
        return urljoin(str(answer.url), location)


_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


@dataclass(frozen=True)
class _Body:
    """A span of bytes or of a file, which can be sent again from its start."""

    content: bytes | Path
    span: range

    async def pieces(self) -> AsyncIterator[bytes]:
        if isinstance(self.content, bytes):
            yield self.content[self.span.start : self.span.stop]
            return
        file = await asyncio.to_thread(self.content.open, "rb")
        with file:
            file.seek(self.span.start)
            left = len(self.span)
            while left and (piece := await asyncio.to_thread(file.read, min(_PIECE, left))):
                left -= len(piece)
                yield piece


async def _hashed(path: Path) -> str:
    return await asyncio.to_thread(digest_of_file, path)


async def _size(path: Path) -> int:
    return (await asyncio.to_thread(path.stat)).st_size


async def _limited(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        content += piece
        if len(content) > limit:
            raise TooLarge(f"{answer.url.host} answered more than {limit} bytes to {answer.url.path}")
    return bytes(content)


def _json_object(body: bytes, who: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{who} answered no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable(f"{who} answered no JSON object")
    return document


def _reasons(body: bytes) -> tuple[set[str], str]:
    """The codes in a registry's error document, and a text made of them."""
    try:
        errors = [entry for entry in json.loads(body)["errors"] if isinstance(entry, dict)]
    except (ValueError, RecursionError, KeyError, TypeError):
        return set(), ""
    said = "; ".join(f"{entry.get('code')}: {entry.get('message')}" for entry in errors)
    return {str(entry.get("code")) for entry in errors}, f" ({said:.500})" if said else ""
