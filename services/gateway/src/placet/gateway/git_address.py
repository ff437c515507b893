"""A git address as people write it, as pip does: `https://host/team/model.git@v1.0#subdirectory=models/churn`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, quote, urlsplit

from placet.errors import Refused

MAX_ADDRESS = 2000
"""Characters."""
_EXAMPLE = "https://host/team/model.git@main, or …@main#subdirectory=models/churn"
# What git takes as a name of a branch, a tag or a commit, without the characters that make an expression of it.
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class GitAddress:
    """`ref` is a branch, a tag or a whole commit id; none means the repository's own default branch."""

    url: str
    ref: str | None = None
    subdirectory: str = ""

    @property
    def host(self) -> str:
        """As an operator allows it: `github.com`, `git.example.org:8443`, and with its scheme where that is http."""
        parts = urlsplit(self.url)
        return parts.netloc if parts.scheme == "https" else f"{parts.scheme}://{parts.netloc}"

    @property
    def name(self) -> str:
        """What the repository is called, which is not trusted to be a file's name."""
        return PurePosixPath(urlsplit(self.url).path.removesuffix("/.git")).name.removesuffix(".git")

    def at(self, commit: str) -> str:
        """The same address, of this one commit for ever."""
        part = f"#subdirectory={quote(self.subdirectory)}" if self.subdirectory else ""
        return f"git+{self.url}@{commit}{part}"


def parse(text: str) -> GitAddress:
    """Raises Refused for what is no address that a platform would fetch from."""
    if len(text) > MAX_ADDRESS or not re.fullmatch(r"[!-~]+", text):
        raise _refused(text, "it has characters that no address has, or too many")
    try:
        parts = urlsplit(text.removeprefix("git+"))
        _ = parts.port
    except ValueError as error:
        raise _refused(text, str(error)) from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise _refused(text, "the platform fetches over https, and has no keys for anything else")
    if "@" in parts.netloc:
        raise Refused(
            "a git address must not hold a user or a password: it is kept in the log for ever",
            fix="leave out what stands before the @ of the host",
        )
    if parts.query:
        raise _refused(text, "it has a query")
    path, at, ref = parts.path.partition("@")
    if at and not _is_ref(ref):
        raise _refused(text, f"{ref!r} names no branch, tag or commit")
    if not path.strip("/"):
        raise _refused(text, "it names no repository")
    return GitAddress(
        url=f"{parts.scheme}://{parts.netloc.lower()}{path}",
        ref=ref or None,
        subdirectory=_subdirectory(text, parts.fragment),
    )


def _is_ref(text: str) -> bool:
    return bool(_REF.fullmatch(text)) and ".." not in text and not text.endswith((".", "/", ".lock"))


def _subdirectory(text: str, fragment: str) -> str:
    fields = parse_qsl(fragment.replace("+", "%2B"), keep_blank_values=True)  # it is no form: a + is a +
    if not fragment:
        return ""
    if [name for name, _ in fields] != ["subdirectory"]:
        raise _refused(text, f"{fragment!r} is not understood; only subdirectory=FOLDER is")
    folder = PurePosixPath(fields[0][1])
    if folder.is_absolute() or ".." in folder.parts:
        raise _refused(text, "its subdirectory leads out of the repository")
    return "" if folder == PurePosixPath() else folder.as_posix()


def _refused(text: str, why: str) -> Refused:
    return Refused(f"{text[:200]!r} is no git address: {why}", fix=f"write it as {_EXAMPLE}")
