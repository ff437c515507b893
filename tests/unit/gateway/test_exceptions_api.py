"""Exceptions from rules over REST: two people, an end, and words that can be forgotten."""

from __future__ import annotations

import asyncio
import hmac
import pickle
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from placet.events.codec import timestamp
from placet.events.contracts.gateway import ExceptionGranted, ExceptionRequested, ExceptionWithdrawn
from placet.events.store import Run, Unit
from placet.gateway import projections as p
from placet.gateway.exceptions import OPEN_BY_PERSON
from placet.gateway.reasons import GIVEN, salt_in, words_in

from tests.unit.gateway.harness import Gateway
from tests.unit.gateway.roads import SOURCE
from tests.unit.gateway.test_gateway_api import MANIFEST, is_problem
from tests.unit.gateway.test_uploads import form

RULE = "model.pickle-by-exception"
PATH = "/v1/models/churn/exceptions"
ADA, BOB = (f"person:00000000-0000-7000-8000-00000000000{number}" for number in (1, 2))


def days(gateway: Gateway, count: float) -> str:
    return timestamp(gateway.clock.now() + timedelta(days=count))


def body(gateway: Gateway, **changes: Any) -> dict[str, Any]:
    return {"rule": RULE, "until": days(gateway, 30), "reason": "Ada's forest, known for years", **changes}


async def ask(gateway: Gateway, token: str | None = None, **changes: Any) -> httpx.Response:
    async with gateway.http(token or gateway.token("scientist", person=ADA)) as http:
        return await http.post(PATH, json=body(gateway, **changes))


async def post(gateway: Gateway, id: str, verb: str, token: str | None = None) -> httpx.Response:
    async with gateway.http(token or gateway.token("approver", person=BOB)) as http:
        return await http.post(f"{PATH}/{id}/{verb}")


async def asked(gateway: Gateway, **changes: Any) -> str:
    answer = await ask(gateway, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["exception"])


async def excepted(gateway: Gateway) -> list[Any]:
    return [each for each in await gateway.said() if type(each).__name__.startswith("Exception")]


async def test_one_asks_and_another_grants(gateway: Gateway) -> None:
    async with gateway.http() as http:
        token = (await http.post("/v1/tokens", json={"as": "Ada", "roles": ["scientist"]})).json()["token"]
    until = days(gateway, 30)
    answer = await ask(gateway, token, until=until.replace("Z", "+00:00"))
    assert answer.status_code == 201
    requested = answer.json()
    id = requested["exception"]
    assert requested["state"] == "requested"
    assert requested["requestedBy"]["name"] == "Ada"
    granted = await post(gateway, id, "grant")
    assert granted.json() == {
        **requested,
        "state": "granted",
        "grantedBy": {"person": BOB, "name": None},
        "grantedAt": timestamp(gateway.clock.now()),
    }
    listed = await gateway.read(PATH)
    assert listed == {"exceptions": [granted.json()], "next": None}
    said, honoured = await excepted(gateway)
    assert isinstance(said, ExceptionRequested)
    assert honoured == ExceptionGranted(
        exception=id,
        project="churn",
        rule=RULE,
        source=None,
        until=until,
        requested_by=said.requested_by,
        granted_by=BOB,
    )


async def test_the_reason_is_told_to_people_and_no_event_has_it(gateway: Gateway) -> None:
    await asked(gateway)
    [shown] = (await gateway.read(PATH))["exceptions"]
    assert shown["reason"] == "Ada's forest, known for years"
    recorded = await gateway.wiring.store.read_all(0, 100)
    assert not any(b"forest" in each.event.raw for each in recorded)
    [said] = await excepted(gateway)
    [row] = await gateway.wiring.store.rows(GIVEN)
    salt, words = salt_in(row), words_in(row)
    assert salt is not None
    assert words is not None
    digest = hmac.digest(bytes.fromhex(salt), words.encode(), "sha256").hex()
    assert said.reason == f"hmac-sha256:{digest}"
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=sa.update(p.reasons).values(sealed=None)),)))
    assert (await gateway.read(PATH))["exceptions"] == [{**shown, "reason": "erased"}]


async def test_the_same_asked_again_is_the_same_exception(gateway: Gateway) -> None:
    first = await ask(gateway)
    again = await ask(gateway)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(await excepted(gateway)) == 1


async def test_the_same_with_another_reason_is_told_that_the_first_one_stays(gateway: Gateway) -> None:
    id = await asked(gateway)
    otherwise = await ask(gateway, reason="said otherwise")
    assert is_problem(otherwise, 409)
    assert (
        otherwise.json()["detail"]
        == f"you asked for the same before, as {id}, and with another reason, which stays"
    )
    assert f"`placet exception withdraw churn {id}`" in otherwise.json()["fix"]
    await gateway.wiring.store.commit(Unit(writes=(Run(statement=sa.update(p.reasons).values(sealed=None)),)))
    assert (await ask(gateway, reason="said otherwise")).json()["exception"] == id, (
        "nobody knows the first one"
    )
    await post(gateway, id, "withdraw")
    assert await asked(gateway, reason="said otherwise") != id


@pytest.mark.parametrize(
    "other", [{"rule": "model.pickle-names-listed"}, {"source": SOURCE}, {"days": 31}, {"by": BOB}], ids=str
)
async def test_anything_else_is_another_exception_and_so_is_what_was_withdrawn(
    gateway: Gateway, other: dict[str, Any]
) -> None:
    first = await asked(gateway)
    changes = {"until": days(gateway, other["days"])} if "days" in other else other
    token = gateway.token("scientist", person=changes.pop("by", ADA))
    second = await ask(gateway, token, **changes)
    assert second.status_code == 201
    assert second.json()["exception"] != first
    await post(gateway, first, "withdraw")
    assert await asked(gateway) not in (first, second.json()["exception"])


async def test_the_same_asked_at_once_is_one_exception(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(ask(gateway) for _ in range(8)))
    assert len({each.json()["exception"] for each in answers}) == 1
    assert sorted(each.status_code for each in answers) == [*[200] * 7, 201]
    assert len(await excepted(gateway)) == 1


async def test_one_person_has_so_many_open_and_no_more(gateway: Gateway) -> None:
    ids = [await asked(gateway, until=days(gateway, 1 + n / 100)) for n in range(OPEN_BY_PERSON)]
    async with gateway.http(gateway.token("scientist", person=ADA)) as http:
        more = [
            (await http.post(path, json=body(gateway))) for path in (PATH, "/v1/models/another/exceptions")
        ]
    for refused in more:
        assert is_problem(refused, 422)
        assert "you have asked for 50 exceptions" in refused.json()["detail"]
    again = await ask(gateway, until=days(gateway, 1))
    assert (again.status_code, again.json()["exception"]) == (200, ids[0]), "what is there is still told"
    assert (await ask(gateway, gateway.token("scientist", person=BOB))).status_code == 201
    for id, verb in ((ids[0], "grant"), (ids[1], "withdraw")):
        await post(gateway, id, verb)
    assert [(await ask(gateway, until=days(gateway, n))).status_code for n in (20, 21, 22)] == [201, 201, 422]


async def test_what_one_project_was_ever_excepted_from_makes_no_request_longer(gateway: Gateway) -> None:
    """Work is counted in events that are read: of a stream, all of them each time."""
    for _ in range(10):
        id = await asked(gateway)
        await post(gateway, id, "grant")
        await post(gateway, id, "withdraw")
    recorded = await gateway.wiring.store.read_all(0, 1000)
    of_churn = [each for each in recorded if getattr(each.event.data, "project", None) == "churn"]
    assert len(of_churn) == 30
    assert max(each.version for each in of_churn) == 3


@pytest.mark.parametrize("roles", [("scientist",), ("approver",), ("admin",)])
async def test_nobody_grants_their_own_whichever_token_they_come_with(
    gateway: Gateway, roles: tuple[Any, ...]
) -> None:
    id = await asked(gateway)
    answer = await post(gateway, id, "grant", gateway.token(*roles, person=ADA))
    assert answer.status_code == 403
    needed = "needs one of the roles admin, approver, compliance"
    assert (needed if roles == ("scientist",) else "takes two people") in answer.json()["detail"]
    assert len(await excepted(gateway)) == 1


@pytest.mark.parametrize("role", ["approver", "compliance", "auditor"])
async def test_only_who_may_deploy_may_ask(gateway: Gateway, role: Any) -> None:
    answer = await ask(gateway, gateway.token(role, person=ADA))
    assert answer.status_code == 403
    assert "asking for an exception needs one of the roles" in answer.json()["detail"]


async def test_what_was_granted_twice_withdrawn_or_is_over_is_answered_for_what_it_is(
    gateway: Gateway,
) -> None:
    id = await asked(gateway)
    first, again = await post(gateway, id, "grant"), await post(gateway, id, "grant")
    assert (first.status_code, again.json()) == (200, first.json())
    other = await post(gateway, id, "grant", gateway.token("admin"))
    assert is_problem(other, 409)
    withdrawn = [await post(gateway, id, "withdraw") for _ in range(2)]
    assert [each.json()["state"] for each in withdrawn] == ["withdrawn", "withdrawn"]
    assert is_problem(await post(gateway, id, "grant"), 409)
    assert [type(each) for each in await excepted(gateway)] == [
        ExceptionRequested,
        ExceptionGranted,
        ExceptionWithdrawn,
    ]
    over = await asked(gateway)
    gateway.clock.pass_(timedelta(minutes=59))  # as long as tokens hold here
    soon = await asked(gateway, until=days(gateway, 1 / 24 / 60))
    gateway.clock.pass_(timedelta(minutes=1))
    assert is_problem(await post(gateway, soon, "grant"), 409)
    states = {each["exception"]: each["state"] for each in (await gateway.read(PATH))["exceptions"]}
    assert states == {id: "withdrawn", over: "requested", soon: "expired"}


async def test_who_asked_may_withdraw_and_a_stranger_may_not(gateway: Gateway) -> None:
    id = await asked(gateway)
    assert is_problem(await post(gateway, id, "withdraw", gateway.token("scientist")), 403)
    mine = await post(gateway, id, "withdraw", gateway.token("scientist", person=ADA))
    assert mine.json()["withdrawnBy"]["person"] == ADA


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("model.no-hostile-pickle", "the rule model.no-hostile-pickle admits no exception"),
        ("model.no-such", "there is no rule 'model.no-such' here"),
    ],
)
async def test_a_rule_that_admits_no_exception_is_answered_with_those_that_do(
    gateway: Gateway, rule: str, said: str
) -> None:
    answer = await ask(gateway, rule=rule)
    assert is_problem(answer, 422)
    assert answer.json()["detail"] == said
    assert answer.json()["fix"] == (
        "those that admit one: advisories.none-severe, build.dockerfile-allowed, licences.allowed, "
        "model.pickle-by-exception, model.pickle-names-listed, operation.conditions-kept, "
        "operation.no-critical-incident"
    )


@pytest.mark.parametrize(
    ("ahead", "said"), [(0, "is over"), (-1, "is over"), (90.01, "more than 90 days ahead")]
)
async def test_an_end_that_is_past_or_too_far_ahead_is_refused(
    gateway: Gateway, ahead: float, said: str
) -> None:
    answer = await ask(gateway, until=days(gateway, ahead))
    assert is_problem(answer, 422)
    assert said in answer.json()["detail"]
    assert await excepted(gateway) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"until": "2026-02-01T00:00:00"},
        {"until": "tomorrow"},
        {"until": 1801440000},
        {"until": "1801440000"},
        {"until": "2027-02-01"},
        {"until": "9999-12-31T23:59:59-23:59"},
        {"until": "0001-01-01T00:00:00+23:59"},
        {"reason": ""},
        {"reason": " …\n"},
        {"reason": "a\0b"},
        {"reason": "x" * 2001},
        {"source": "sha256:5"},
        {"untill": "2026-02-01T00:00:00Z"},
    ],
    ids=[
        "no zone",
        "no time",
        "a number",
        "a number as text",
        "a day",
        "after all years",
        "before all years",
        "no reason",
        "blank",
        "control",
        "too long",
        "no digest",
        "mistyped",
    ],
)
async def test_what_cannot_be_read_is_said_so(gateway: Gateway, changes: dict[str, Any]) -> None:
    assert is_problem(await ask(gateway, **changes), 400)


async def test_a_page_has_the_newest_first_and_one_project_alone(gateway: Gateway) -> None:
    ids = [await asked(gateway, until=days(gateway, count)) for count in (10, 20, 30)]
    async with gateway.http() as http:
        other = await http.post("/v1/models/another/exceptions", json=body(gateway))
    assert other.status_code == 201
    first = await gateway.read(f"{PATH}?limit=2")
    second = await gateway.read(f"{PATH}?limit=2&after={first['next']}")
    found = [each["exception"] for each in (*first["exceptions"], *second["exceptions"])]
    assert found == ids[::-1]
    assert (await gateway.read("/v1/models/nothing/exceptions"))["exceptions"] == []
    everything = [each["exception"] for each in (await gateway.read("/v1/exceptions"))["exceptions"]]
    assert set(everything) == {*found, other.json()["exception"]}
    assert everything == sorted(everything, reverse=True)
    page = await gateway.read("/v1/exceptions?limit=2")
    rest = await gateway.read(f"/v1/exceptions?after={page['next']}")
    assert [each["exception"] for each in (*page["exceptions"], *rest["exceptions"])] == everything
    elsewhere = await post(gateway, other.json()["exception"], "grant")
    assert is_problem(elsewhere, 404)


async def test_a_folder_from_a_browser_is_judged_with_the_exceptions_of_its_project(gateway: Gateway) -> None:
    files = {"placet.yaml": MANIFEST, "cut-off.pkl": pickle.dumps([1.0] * 9)[:-1]}

    async def refusals() -> tuple[set[str], list[Any]]:
        async with gateway.http() as http:
            answer = (await http.post("/v1/sources", files=form(files))).json()
        assert answer["project"] == "churn"
        return {each["rule"] for each in answer["refusals"]}, answer["warnings"]

    names = "model.pickle-names-listed"
    before, _ = await refusals()
    assert names in before
    await post(gateway, await asked(gateway, rule=names, source=SOURCE), "grant")
    assert (await refusals())[0] == before, "it is for another source"
    id = await asked(gateway, rule=names)
    assert (await refusals())[0] == before, "it was only asked for"
    await post(gateway, id, "grant")
    after, warnings = await refusals()
    assert after == before - {names}
    [told] = [each for each in warnings if each["rule"] == names]
    assert (told["why"].endswith(f"excepted by {id}"), told["fix"]) == (True, None)


async def test_those_in_one_state_are_told_alone(gateway: Gateway) -> None:
    """Each state has one, and is told as the list of all tells it."""
    short, withdrawn, granted, requested = [
        await asked(gateway, until=days(gateway, ends)) for ends in (0.03, 30, 31, 32)
    ]
    await post(gateway, withdrawn, "withdraw")
    await post(gateway, granted, "grant")
    gateway.clock.pass_(timedelta(minutes=50))
    named = {"expired": short, "withdrawn": withdrawn, "granted": granted, "requested": requested}
    of_all = {each["exception"]: each["state"] for each in (await gateway.read(PATH))["exceptions"]}
    assert of_all == {id: state for state, id in named.items()}
    for path in (PATH, "/v1/exceptions"):
        for state, id in named.items():
            told = (await gateway.read(f"{path}?state={state}"))["exceptions"]
            assert [each["exception"] for each in told] == [id], state
