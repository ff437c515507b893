"""What a Dockerfile starts from and fetches, read as strictly as an engine reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from placet.errors import Refused
from placet.projects import read_dockerfile
from placet.projects.dockerfiles import MAX_DOCKERFILE_BYTES

PINNED = f"python@sha256:{'a' * 64}"
OTHER = f"registry.example.org:5000/tools/compiler@sha256:{'b' * 64}"


def test_the_image_stands_on_what_its_last_stage_starts_from_through_the_stages_before() -> None:
    read = read_dockerfile(
        f"""\
# syntax=docker/dockerfile:1
FROM --platform=linux/amd64 {OTHER} AS Build
COPY . /src
ONBUILD RUN make
FROM {PINNED} AS os
RUN apt-get install \\
    # a comment between lines
    libgomp1
from OS
COPY --from=build --chown=1:1 /src/out /app/
COPY --from=0 /src/more /app/
ADD server.py /app/
""".encode()
    )

    assert read.base == PINNED
    assert read.images == (PINNED, OTHER)
    assert read.loose == ()


def test_what_starts_from_nothing_stands_on_nothing() -> None:
    read = read_dockerfile(b"FROM scratch\nCOPY server /\n")

    assert (read.base, read.images, read.loose) == ("scratch", (), ())


@pytest.mark.parametrize(
    ("line", "loose"),
    [
        ("FROM python:3.11", "python:3.11"),
        ("FROM python@sha256:abc", "python@sha256:abc"),
        ("FROM $BASE", "$BASE"),
        (f"FROM {PINNED[:-1]}${{LAST}}", f"{PINNED[:-1]}${{LAST}}"),
        ("FROM \\\n  python", "python"),
        ("ONBUILD COPY --from=alpine /bin/sh /bin/", "alpine"),
        ("COPY --chown=1 --from=busybox:latest /bin/sh /bin/", "busybox:latest"),
        ("COPY --from=1 /etc /etc", "1"),
        ("ADD https://example.org/model.bin /app/", "ADD https://example.org/model.bin"),
        ('ADD ["http://example.org/model.bin", "/app/"]', 'ADD "http://example.org/model.bin"'),
        ("add git@example.org:team/model.git /app/", "ADD git@example.org:team/model.git"),
        ("ADD $WHERE /app/", "ADD $WHERE"),
    ],
)
def test_what_may_be_something_else_tomorrow_is_named(line: str, loose: str) -> None:
    read = read_dockerfile(f"FROM {PINNED}\r\n{line}\r\n".encode())

    assert read.loose == (loose,)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no FROM"),
        (b"RUN make\n", "no FROM"),
        (b"# escape=`\nFROM scratch\n", "line 1 names another escape character"),
        (b"FROM scratch\nRUN a \\\\\nFROM evil\n", "line 2 ends with two backslashes"),
        (b"FROM scratch AS\n", "cannot be read"),
        (b"FROM a b c d\n", "cannot be read"),
        (b"FROM \xff\n", "not written in UTF-8"),
        (b"#" * (MAX_DOCKERFILE_BYTES + 1), "the limit is"),
    ],
)
def test_what_is_none_or_can_be_read_in_two_ways_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read_dockerfile(content)


@given(st.lists(st.sampled_from(["FROM a", "COPY --from=x", "ADD", "\\", "\n", " ", '"', "#", "$", "AS b"])))
def test_any_text_is_read_to_an_end_and_no_tag_is_ever_taken_for_pinned(pieces: list[str]) -> None:
    try:
        read = read_dockerfile(" ".join(pieces).encode())
    except Refused:
        return
    assert set(read.images) <= set(read.loose)
