"""The client against a platform on a real socket: every call, every kind of refusal."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from pathlib import Path

import pytest
from placet.client import Client, Connection, TakenPlace
from placet.client.problems import problem
from placet.errors import (
    Conflict,
    Forbidden,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unknown,
    Unreadable,
)

from tests.unit.client.fake_platform import ADMIN, IMAGE, SCIENTIST, FakePlatform, event, release, replaced


def archive(path: Path, content: bytes = b"print()") -> tuple[Path, str]:
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("model.py")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path, "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


async def deployed(client: Client, tmp_path: Path, project: str = "wine") -> str:
    file, digest = archive(tmp_path / f"{project}.tar")
    await client.upload(file, digest)
    operation = await client.command("deploy", project=project, digest=digest)
    assert operation.operation is not None
    await client.finish(operation.operation)
    return digest


async def test_a_source_is_uploaded_deployed_and_followed_to_its_url(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    file, digest = archive(tmp_path / "source.tar")
    assert not await client.has_source(digest)
    assert (await client.upload(file, digest)).source == digest
    assert await client.has_source(digest)

    operation = await client.command("deploy", project="wine", digest=digest)
    assert operation.operation is not None
    states = [seen.state async for seen in client.follow(operation.operation)]

    assert states == [
        "requested", "requested", "cleared", "reserved", "built", "indexed", "certified", "live",
    ]  # fmt: skip
    ended = await client.operation(operation.operation)
    assert ended.url == f"{platform.url}/models/wine"
    assert ended.built is True
    assert [step.name for step in ended.steps][-1] == "live"


async def test_a_build_is_over_when_it_is_certified(client: Client, tmp_path: Path) -> None:
    file, digest = archive(tmp_path / "source.tar")
    await client.upload(file, digest)
    operation = await client.command("build", digest=digest)
    assert operation.operation is not None
    assert (await client.finish(operation.operation)).state == "certified"


async def test_the_operation_document_is_written_with_its_fields_in_order(
    client: Client, tmp_path: Path
) -> None:
    await deployed(client, tmp_path)
    model = await client.model("wine")
    assert model.operation is not None
    assert list(model.operation.to_json()) == [
        "operation", "command", "project", "release", "source", "image", "built", "certificate", "renews",
        "share", "replaced", "backTo", "state", "url", "steps", "refusals", "awaiting", "verdicts",
    ]  # fmt: skip


async def test_releases_are_fetched_page_by_page(client: Client, platform: FakePlatform) -> None:
    platform.releases = [release(3), replaced(2, 3, backTo=1), replaced(1, 2)]
    found = [each async for each in client.releases("wine")]
    assert [each.release for each in found] == [3, 2, 1]
    assert found[1].replaced_by == TakenPlace(release=3, operation="operation-3", command="deploy", back_to=1)
    assert platform.requests[-2:] == [("GET", "/v1/models/wine/releases")] * 2
    page = await client.releases_page("wine", after=3, limit=1)
    assert ([each.release for each in page.releases], page.next) == ([2], 2)
    assert await client.release("wine", 2) == found[1]
    with pytest.raises(Unknown, match="no release 9"):
        await client.release("wine", 9)


async def test_a_line_of_a_log_that_does_not_end_comes_in_parts(
    client: Client, platform: FakePlatform
) -> None:
    platform.log = ["first\r", "", "x" * 1_000_000, "last"]
    async with client.log("wine") as log:
        lines = [line async for line in log.lines]
    assert lines[:2] == ["first", ""]
    assert lines[-1] == "last"
    assert "".join(lines[2:-1]) == "x" * 1_000_000
    assert max(map(len, lines)) <= 2**16


async def test_a_command_sent_twice_under_one_key_is_one_operation(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    digest = await deployed(client, tmp_path)
    first = await client.command("deploy", digest=digest, key="k")
    second = await client.command("deploy", digest=digest, key="k")
    assert first.operation == second.operation


async def test_an_upload_is_read_from_disk_piece_by_piece(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    file, size = tmp_path / "large.tar", 64 << 20
    with file.open("wb") as sparse:
        sparse.truncate(size)
    digest = "sha256:" + hashlib.file_digest(file.open("rb"), "sha256").hexdigest()

    told: list[int] = []
    assert (await client.upload(file, digest, sent=told.append)).size == size
    assert told == sorted(set(told))
    assert told[-1] == size
    assert platform.largest_chunk < size // 16


async def test_an_upload_over_the_limit_is_refused_while_it_is_sent(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    platform.size_limit = 10
    file, digest = archive(tmp_path / "source.tar")
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        await client.upload(file, digest)


async def test_a_digest_that_does_not_match_is_refused_with_its_rule(client: Client, tmp_path: Path) -> None:
    file, _ = archive(tmp_path / "source.tar")
    with pytest.raises(Refused) as refused:
        await client.upload(file, "sha256:" + "0" * 64)
    assert refused.value.rule == "digest-matches"


async def test_an_unknown_source_says_the_next_step(client: Client) -> None:
    with pytest.raises(Unknown) as unknown:
        await client.command("deploy", digest="sha256:" + "0" * 64)
    assert unknown.value.fix == "upload it first"


async def test_no_token_and_too_few_roles_are_forbidden(platform: FakePlatform) -> None:
    async with Client(Connection(url=platform.url)) as nobody:
        with pytest.raises(Unauthenticated) as forbidden:
            await nobody.me()
    assert "PLACET_TOKEN" in (forbidden.value.fix or "")
    async with Client(Connection(url=platform.url, token=SCIENTIST)) as scientist:
        with pytest.raises(Forbidden, match="only an admin"):
            await scientist.create_token("Bob", ("approver",))


async def test_tokens_are_made_and_revoked(client: Client, platform: FakePlatform) -> None:
    token = await client.create_token("Bob", ("approver", "auditor"), ttl=3600)
    assert token.token == "new-token"
    assert platform.tokens["t1"] == {"as": "Bob", "roles": ["approver", "auditor"], "ttl": 3600}
    with pytest.raises(Conflict):
        await client.create_token("Bob", ("approver",))
    await client.revoke_token(token.id)
    assert platform.tokens == {}


async def test_who_comes_from_a_provider_gets_a_token_for_models(platform: FakePlatform) -> None:
    platform.guests = lambda token: token == "of-a-provider"
    async with Client(Connection(url=platform.url, token="of-a-provider")) as guest:
        assert (await guest.own_token()).token == "own-token"
    async with Client(Connection(url=platform.url, token=SCIENTIST)) as scientist:
        with pytest.raises(Refused, match="own already"):
            await scientist.own_token()


async def test_a_platform_that_is_away_for_a_moment_is_asked_again(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    file, digest = archive(tmp_path / "source.tar")
    platform.away_for = 2
    await client.upload(file, digest)
    platform.away_for = 2
    await client.command("deploy", digest=digest)
    assert len(platform.commands) == 1
    platform.away_for = 2
    assert (await client.me()).name == "Ada"


async def test_who_asks_too_often_waits_and_is_told_so(platform: FakePlatform) -> None:
    waited: list[tuple[str, float]] = []
    told = Client(
        Connection(url=platform.url, token=ADMIN),
        on_wait=lambda why, seconds: waited.append((why.detail, seconds)),
    )
    async with told as client:
        platform.too_many_for = 2
        assert (await client.me()).name == "Ada"
        assert waited == [("you read more often than one person may here", 0.05)] * 2
        platform.too_many_for = 1
        with pytest.raises(Unknown):
            await client.image(IMAGE)
        assert len(waited) == 3
        platform.away_for = 1
        await client.me()
        assert len(waited) == 3, "who is away is waited for without a word, as ever"
    async with Client(Connection(url=platform.url, token=ADMIN), patience=0.0) as hasty:
        platform.too_many_for = 1
        with pytest.raises(TooMany, match="more often"):
            await hasty.me()


async def test_an_answer_without_end_is_not_read_without_end(platform: FakePlatform) -> None:
    async with Client(Connection(url=platform.url, token=ADMIN), most=10) as narrow:
        with pytest.raises(Unreadable, match="an answer of more than 10 bytes"):
            await narrow.models()


def test_a_problem_that_is_nothing_but_brackets_is_told() -> None:
    assert isinstance(problem(400, {}, b"[" * 100_000), Unreadable)


async def test_patience_ends_and_what_is_not_idempotent_is_never_sent_again(platform: FakePlatform) -> None:
    async with Client(Connection(url=platform.url, token=ADMIN), patience=0.0) as hasty:
        platform.away_for = 1_000_000
        with pytest.raises(Unavailable, match="draining"):
            await hasty.me()
        platform.away_for = 1
        with pytest.raises(Unavailable):
            await hasty.create_token("Bob", ("approver",))
    assert platform.requests.count(("POST", "/v1/tokens")) == 1


async def test_nobody_listening_is_said_at_once_with_the_likely_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with Client(Connection(url=url)) as client:
            with pytest.raises(Unavailable, match="is `placet up` running"):
                await client.me()
            with pytest.raises(Unavailable, match="is `placet up` running"):
                await client.finish("any")


async def test_models_are_listed_over_all_pages(client: Client, tmp_path: Path) -> None:
    for project in ("ant", "bee", "cat", "dog", "elk"):
        await deployed(client, tmp_path, project)
    assert [model.project for model in await client.models()] == ["ant", "bee", "cat", "dog", "elk"]


async def test_a_source_comes_back_and_is_checked_against_its_digest(
    client: Client, platform: FakePlatform, tmp_path: Path
) -> None:
    digest = await deployed(client, tmp_path)
    platform.images.append({"image": IMAGE, "project": "wine", "release": 1, "source": digest})
    await client.download_source(IMAGE, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == (tmp_path / "wine.tar").read_bytes()

    platform.archives[digest] += b"!"
    with pytest.raises(Unreadable, match="is recorded as"):
        await client.download_source(IMAGE, tmp_path / "altered.tar")


async def test_logs_come_line_by_line(client: Client) -> None:
    async with client.log("wine", tail=2) as log:
        assert [line async for line in log.lines] == ["line 4", "line 5"]


async def test_a_build_has_a_log_too(client: Client) -> None:
    async with client.build_log("wine", 2, follow=True) as lines:
        assert [line async for line in lines] == ["locked 3 packages for 2 to its end", "image sha256:1"]


async def test_a_log_says_which_release_wrote_it_and_which_is_live(
    client: Client, platform: FakePlatform
) -> None:
    platform.started_last, platform.live = 3, 2
    async with client.log("wine") as log:
        assert (log.release, log.live) == (3, 2)
    platform.live = None
    async with client.log("wine", release=1) as log:
        assert (log.release, log.live) == (1, None)


async def test_events_come_over_all_pages_after_a_position(client: Client, platform: FakePlatform) -> None:
    platform.events = [event(number) for number in range(1, 8)]
    assert [found["sequence"] async for found in client.events(after=2)] == [3, 4, 5, 6, 7]


async def test_audit_entries_come_in_order_and_a_hole_is_an_error(
    client: Client, platform: FakePlatform
) -> None:
    platform.events = [event(number) for number in (1, 2, 3, 5)]
    entries = client.entries()
    assert [(await anext(entries)).position for _ in range(3)] == [1, 2, 3]
    with pytest.raises(Unreadable, match="from position 3 to 5"):
        await anext(entries)


async def test_audit_entries_come_between_two_positions(client: Client, platform: FakePlatform) -> None:
    platform.events = [event(number) for number in range(1, 8)]
    assert [found.position async for found in client.entries(after=2, until=5)] == [3, 4, 5]


async def test_an_answer_that_is_no_document_is_unreadable(client: Client, platform: FakePlatform) -> None:
    platform.images.append({"project": "wine"})
    with pytest.raises(Unreadable, match="imagespage"):
        await client.images()


async def test_a_typed_name_cannot_leave_its_place_in_the_address(
    client: Client, platform: FakePlatform
) -> None:
    with pytest.raises(Unknown):
        await client.model("../tokens?x=1")
    assert all(not path.startswith("/v1/tokens") for _, path in platform.requests)


async def test_a_name_that_no_machine_has_is_told_from_a_platform_that_is_down() -> None:
    async with Client(Connection(url="http://nowhere.invalid"), patience=0) as nowhere:
        with pytest.raises(Unavailable, match=r"no machine is known as nowhere\.invalid"):
            await nowhere.models()
    async with Client(Connection(url="http://127.0.0.1:1"), patience=0) as down:
        with pytest.raises(Unavailable, match=r"nothing answers at http://127\.0\.0\.1:1"):
            await down.models()


async def test_a_platform_without_tls_is_told_from_one_that_is_down(platform: FakePlatform) -> None:
    url = platform.url.replace("http://", "https://")
    async with Client(Connection(url=url, token=ADMIN), patience=0) as client:
        with pytest.raises(Unavailable, match="answers, but not in TLS that holds") as refused:
            await client.models()
    assert "http://" in str(refused.value.fix)


def test_what_is_refused_for_more_than_one_thing_comes_in_parts() -> None:
    refusals = [{"rule": None, "why": "harm: has no answer", "fix": "answer it"}, {"rule": "r", "why": "no"}]
    said = {"detail": "2 mistakes in the answers", "refusals": refusals}
    refused = problem(422, {}, json.dumps(said).encode())
    assert [(part.detail, part.fix, part.rule) for part in refused.parts] == [
        ("harm: has no answer", "answer it", None),
        ("no", None, "r"),
    ]
    for odd in ([], "no", [{"why": 1}], None):
        whole = problem(422, {}, json.dumps(said | {"refusals": odd}).encode())
        assert whole.parts == (whole,)


@pytest.mark.parametrize("status", [404, 500])
def test_an_answer_that_no_platform_wrote_asks_about_the_address(status: int) -> None:
    said = problem(status, {"content-type": "text/html"}, b"<html>It works!</html>")
    assert "the platform answered" in said.detail
    assert said.fix == "is PLACET_URL really the address of a platform?"
    assert problem(status, {}, b'{"detail": "no project wine"}').fix is None


async def test_what_waits_for_people_is_asked_of_all_projects_by_page(
    platform: FakePlatform, client: Client
) -> None:
    digests = {name: f"sha256:{name[0] * 64}" for name in ("binding", "source", "image", "inputs")}
    waits = {
        "state": "awaiting",
        "operation": "1",
        "since": "2026-11-26T00:00:00Z",
        "until": "2026-12-10T00:00:00Z",
    }
    platform.awaited += [{**waits, **digests, "release": release} for release in (1, 2)]
    first = await client.awaited_anywhere(limit=1)
    second = await client.awaited_anywhere(after=first.next, limit=1)
    assert [(each.project, each.release) for each in (*first.releases, *second.releases)] == [
        ("churn", 1),
        ("churn", 2),
    ]
    [owed] = (await client.reviews_owed(after="certificate:0", limit=5)).reviews
    assert (owed.project, owed.state) == ("churn", "owed")
    assert platform.searches == [[("after", "certificate:0"), ("limit", "5")]]


async def test_a_page_of_exceptions_is_of_one_state(platform: FakePlatform, client: Client) -> None:
    made = {
        "project": "churn",
        "rule": "r",
        "until": "2026-12-10T00:00:00Z",
        "requestedAt": "2026-11-10T00:00:00Z",
    }
    asker = {"requestedBy": {"person": "person:1", "name": None}}
    platform.exceptions += [
        {**made, **asker, "exception": f"exception:{state}", "state": state}
        for state in ("granted", "requested")
    ]
    page = await client.exceptions_page(state="requested")
    assert [each.exception for each in page.exceptions] == ["exception:requested"]
    assert (await client.exceptions_page("wine")).exceptions == ()
