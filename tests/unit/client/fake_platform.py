"""A platform that keeps everything in memory and speaks the REST API on a real socket, for clients' tests.

It decides nothing: a test says how the next operation ends (`outcome`), how often the platform is away
(`away_for`) or asked too often (`too_many_for`), where a stream breaks (`break_after`).
It runs in a thread of its own, so that a test may
block on the CLI's `main`.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.eventually import eventually
from tests.support.serving import EndsAtOnce

ADMIN, SCIENTIST, AUDITOR = "admin-token", "scientist-token", "auditor-token"
APPROVER = "approver-token"
COMMANDS = ["abort", "build", "delete", "deploy", "promote", "renew", "rollback", "scale", "start", "stop"]
STEPS = ("requested", "cleared", "reserved", "built", "indexed", "certified", "live")
IMAGE = "sha256:" + "ab" * 32
TWO_APPROVALS = {
    "rule": "two-approvals",
    "result": "fail",
    "stage": "certify",
    "why": "high risk needs two people",
    "fix": "`placet approve wine`",
}
REFUSAL = {"rule": "owner-named", "why": "nobody owns it", "fix": "set governance.owner"}


@dataclass
class FakePlatform:
    url: str = ""
    outcome: str = "live"
    replaced: int | None = None
    away_for: int = 0
    too_many_for: int = 0
    break_after: int | None = None
    cut_after: int | None = None
    """Where a stream ends with a word, as for one who reads too slowly."""
    holds: bool = False
    size_limit: int = 1 << 30
    sources: dict[str, int] = field(default_factory=dict)
    archives: dict[str, bytes] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    """Of every model, newest first."""
    searches: list[list[tuple[str, str]]] = field(default_factory=list)
    garbage: list[dict[str, Any]] = field(default_factory=list)
    is_undeletable: bool = False
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    unbuilt: set[tuple[str, int]] = field(default_factory=set)
    """Releases for which nothing was built."""
    builds_begin_after: int = 0
    """So many times a build's log is asked for before there is one."""
    never_ran: set[str] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    guests: Callable[[str], bool] = lambda token: False
    """Which tokens are taken besides."""
    revoked_tokens: list[str] = field(default_factory=list)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    """How those stand that differ from one that does its work, in part."""
    silent: set[str] = field(default_factory=set)
    """Services of which nobody hears while they are asked."""
    strangers: set[str] = field(default_factory=set)
    """Services that do not take the tokens that the others do."""
    parked: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is held about each, by id, with their `given` words."""
    looks_until_erased: int = 1
    held_projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    placement: dict[str, Any] = field(default_factory=dict)
    fetched: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=lambda: [f"line {number}" for number in range(1, 6)])
    quotas: dict[str, dict[str, Any]] = field(default_factory=dict)
    teams: dict[str, str] = field(default_factory=dict)
    people_of_teams: dict[str, list[str]] = field(default_factory=dict)
    roles_on: dict[str, dict[str, str]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    hides_what_was_read: bool = False
    """Whoever reads a log may read nothing of that project from there on."""
    hidden: set[str] = field(default_factory=set)
    may_share: bool = True
    commands: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    resumed_from: list[str] = field(default_factory=list)
    largest_chunk: int = 0
    started_last: int = 1
    live: int | None = 1
    exceptions: list[dict[str, Any]] = field(default_factory=list)
    reported: list[dict[str, Any]] = field(default_factory=list)
    """Each as it was sent, with what the request said that it is of."""
    awaited: list[dict[str, Any]] = field(default_factory=list)
    approved: list[dict[str, Any]] = field(default_factory=list)
    review: dict[str, Any] | None = None
    """Of every certificate."""
    of_certificate: dict[str, Any] = field(default_factory=dict)
    """What the predicate of each certificate says besides, or in place of what it would."""
    public_keys: list[dict[str, Any]] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    entities: list[dict[str, Any]] = field(default_factory=list)
    """What was so, whatever moment is asked for."""
    people_asked: set[str] = field(default_factory=set)
    policy_files: dict[str, str] = field(default_factory=dict)
    whys: dict[str, dict[str, Any]] = field(default_factory=dict)
    questionnaires: list[dict[str, Any]] = field(default_factory=list)
    imports: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    assessments: list[dict[str, Any]] = field(default_factory=list)
    assessed: dict[str, Any] = field(default_factory=lambda: {"state": "scored"})
    """What becomes of an assessment, the second time that somebody looks at it."""
    verdict: dict[str, Any] = field(default_factory=lambda: {"state": "in-force"})
    """What becomes of a policy, the second time that somebody looks at it."""
    advisories: list[dict[str, Any]] = field(default_factory=list)
    read_as: dict[str, Any] = field(
        default_factory=lambda: {"state": "in-use", "taken": "2026-11-20", "advisories": 3, "packages": 2}
    )
    """What becomes of a snapshot, the first time that somebody looks at it."""
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """The files of the advisories, by digest."""
    snapshots_fetched: int = 0
    warned: list[dict[str, Any]] = field(default_factory=list)
    """Verdicts that an operation is certified with besides the one that passes."""
    envelope: dict[str, Any] = field(default_factory=dict)
    example: Any = None
    example_access: str = "public"
    predicted: list[Any] = field(default_factory=list)
    no_room: list[dict[str, Any]] = field(default_factory=list)
    used_up: tuple[str, ...] = ()
    """Of what there is that nothing is free."""
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    retained: dict[str, Any] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    """The reasons that were given."""

    def app(self) -> ASGIApp:
        routes = [
            Route("/v1/sources", self.get_fetched),
            Route("/v1/sources/{digest}", self.put_source, methods=["PUT"]),
            Route("/v1/sources/{digest}", self.head_source, methods=["HEAD"]),
            Route("/v1/commands", self.post_command, methods=["POST"]),
            Route("/v1/operations/{id}", self.get_operation),
            Route("/v1/operations/{id}/events", self.follow_operation),
            Route("/v1/models", self.list_models),
            Route("/v1/models/{project}", self.get_model),
            Route("/v1/models/{project}/releases", self.list_releases),
            Route("/v1/models/{project}/releases/{release:int}", self.get_release),
            Route("/v1/models/{project}/logs", self.get_logs),
            Route("/v1/models/{project}/example", self.get_example),
            Route("/v1/exceptions", self.list_exceptions),
            Route("/v1/models/{project}/exceptions", self.list_exceptions),
            Route("/v1/models/{project}/exceptions", self.post_exception, methods=["POST"]),
            Route("/v1/models/{project}/exceptions/{id}/{verb}", self.decide_exception, methods=["POST"]),
            Route("/v1/models/{project}/metadata", self.list_reports),
            Route("/v1/models/{project}/metadata", self.post_reports, methods=["POST"]),
            Route("/v1/metadata/schemas/{kind}", self.get_report_schema),
            Route("/v1/models/{project}/approvals", self.list_awaited),
            Route("/v1/approvals", self.list_all_awaited),
            Route("/v1/reviews", self.list_reviews),
            Route("/v1/models/{project}/approvals", self.post_approval, methods=["POST"]),
            Route("/v1/builds/{project}/{release}/log", self.get_build_log),
            Route("/v1/images", self.list_images),
            Route("/v1/images/{digest}", self.get_image),
            Route("/v1/images/{digest}/source", self.get_image_source),
            Route("/v1/certificates/{id}", self.get_certificate),
            Route("/v1/keys", self.get_keys),
            Route("/v1/certificates/{id}/revoke", self.revoke_certificate, methods=["POST"]),
            Route("/v1/certificates/{id}/review", self.review_certificate, methods=["POST"]),
            Route("/v1/questionnaires", self.list_questionnaires),
            Route("/v1/questionnaires", self.post_questionnaire, methods=["POST"]),
            Route("/v1/questionnaires/{id}", self.get_questionnaire),
            Route("/v1/models/{project}/assessments", self.list_assessments),
            Route("/v1/models/{project}/assessments", self.post_assessment, methods=["POST"]),
            Route("/v1/models/{project}/assessments/{id}", self.get_assessment),
            Route("/v1/policies", self.list_policies),
            Route("/v1/policies", self.post_policy, methods=["POST"]),
            Route("/v1/policies/{id}", self.get_policy),
            Route("/v1/policies/{digest}/file", self.get_policy_file),
            Route("/v1/facts", self.get_facts),
            Route("/v1/advisories", self.list_advisories),
            Route("/v1/advisories/{digest}", self.put_advisories, methods=["PUT"]),
            Route("/v1/advisories/{digest}", self.get_snapshot),
            Route("/v1/advisories/{digest}/file", self.get_snapshot_file),
            Route("/v1/capacity", self.get_capacity),
            Route("/v1/webhooks", self.list_webhooks),
            Route("/v1/webhooks", self.post_webhook, methods=["POST"]),
            Route("/v1/models/{project}/placement", self.get_placement),
            Route("/v1/garbage", self.get_garbage),
            Route("/v1/garbage/collections", self.post_collection, methods=["POST"]),
            Route("/v1/me/token", self.post_own_token, methods=["POST"]),
            Route("/v1/tokens", self.get_tokens),
            Route("/v1/tokens", self.post_token, methods=["POST"]),
            Route("/v1/tokens/{id}", self.delete_token, methods=["DELETE"]),
            Route("/v1/me", self.get_me),
            Route("/v1/people", self.get_people),
            Route("/v1/retention", self.get_retention),
            Route("/v1/models/{project}/hold", self.put_hold, methods=["PUT"]),
            Route("/v1/models/{project}/hold", self.delete_hold, methods=["DELETE"]),
            Route("/v1/services/{service}", self.get_service),
            Route("/v1/services/{service}/parked", self.get_parked),
            Route("/v1/services/{service}/parked/retry", self.retry_all_parked, methods=["POST"]),
            Route("/v1/services/{service}/parked/{id}/retry", self.retry_parked, methods=["POST"]),
            Route("/v1/quotas", self.get_quotas),
            Route("/v1/quotas/{scope}/{of}", self.put_quota, methods=["PUT"]),
            Route("/v1/quotas/{scope}/{of}", self.delete_quota, methods=["DELETE"]),
            Route("/v1/teams", self.get_teams),
            Route("/v1/teams/{team}/projects/{project}", self.put_team, methods=["PUT"]),
            Route("/v1/teams/{team}", self.any_team, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/teams/{team}/members", self.put_member, methods=["PUT"]),
            Route("/v1/teams/{team}/members/{person}", self.delete_member, methods=["DELETE"]),
            Route("/v1/models/{project}/members", self.any_members, methods=["GET", "PUT"]),
            Route("/v1/models/{project}/members/{to}", self.delete_role, methods=["DELETE"]),
            Route("/v1/models/{project}/private", self.any_private, methods=["PUT", "DELETE"]),
            Route("/v1/models/{project}/team", self.delete_team, methods=["DELETE"]),
            Route("/v1/people/{person}", self.get_person),
            Route("/v1/people/{person}/words", self.get_words),
            Route("/v1/people/{person}", self.delete_person, methods=["DELETE"]),
            Route("/v1/events", self.get_events),
            Route("/v1/audit/entries", self.get_entries),
            Route("/v1/audit/why", self.get_why),
            Route("/v1/audit/projects", self.get_projects_then),
            Route("/v1/audit/state", self.get_state),
            Route("/models/{project}/predict", self.predict, methods=["POST"]),
        ]
        routed = Starlette(routes=routes)

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.requests.append((scope["method"], scope["path"]))
                request = Request(scope)
                if self.too_many_for > 0:
                    self.too_many_for -= 1
                    much = problem(
                        429, "you read more often than one person may here", headers={"Retry-After": "0"}
                    )
                    await much(scope, receive, send)
                    return
                if self.away_for > 0:
                    self.away_for -= 1
                    await problem(503, "draining", headers={"Retry-After": "0"})(scope, receive, send)
                    return
                known = {f"Bearer {token}" for token in (ADMIN, SCIENTIST, AUDITOR, APPROVER)}
                sent = request.headers.get("authorization", "")
                is_known = sent in known or self.guests(sent.removeprefix("Bearer "))
                if scope["path"].startswith("/v1/") and not is_known:
                    await problem(401, "no valid token")(scope, receive, send)
                    return
            await routed(scope, receive, send)

        return guarded

    # Sources and commands

    async def put_source(self, request: Request) -> Response:
        digest, found, size, kept = request.path_params["digest"], hashlib.sha256(), 0, bytearray()
        async for chunk in request.stream():
            self.largest_chunk = max(self.largest_chunk, len(chunk))
            size += len(chunk)
            if size > self.size_limit:
                return problem(413, f"larger than {self.size_limit} bytes")
            found.update(chunk)
            if size <= 1 << 22:
                kept += chunk
        if digest.removeprefix("sha256:") != found.hexdigest():
            return problem(422, "the archive is not what its digest says", rule="digest-matches")
        known = digest in self.sources
        self.sources[digest], self.archives[digest] = size, bytes(kept)
        return JSONResponse(
            {"source": digest, "size": size, "project": "wine", "files": 3}, 200 if known else 201
        )

    async def get_fetched(self, request: Request) -> Response:
        """What lies at the git addresses that the test filled in."""
        return Response(self.fetched[request.query_params["git"]], media_type="application/x-tar")

    async def head_source(self, request: Request) -> Response:
        return Response(status_code=200 if request.path_params["digest"] in self.sources else 404)

    async def post_command(self, request: Request) -> Response:
        key = request.headers["idempotency-key"]
        if key in self.keys:
            return JSONResponse(self.operations[self.keys[key]][0], 202)
        asked = await request.json()
        source = asked.get("source") or {}
        if "digest" in source and source["digest"] not in self.sources:
            return problem(404, f"source {source['digest']} is not here", fix="upload it first")
        if asked["command"] not in ("build", "deploy") and asked["project"] not in self.models:
            return problem(404, f"no project {asked['project']}", fix="`placet list` shows what there is")
        self.commands.append(asked)
        operation = f"01900000-0000-7000-8000-{len(self.operations):012d}"
        self.keys[key] = operation
        self.operations[operation] = self.life(operation, asked)
        return JSONResponse(
            self.operations[operation][0], 202, headers={"Location": f"/v1/operations/{operation}"}
        )

    def life(self, operation: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Every state the operation goes through, as documents."""
        project, source = asked.get("project") or "wine", asked.get("source") or {}
        release = 1 + sum(1 for other in self.operations.values() if other[-1]["state"] == "live")
        goes_back = asked["command"] == "rollback"
        document: dict[str, Any] = {
            "operation": operation, "command": "deploy" if goes_back else asked["command"],
            "project": project, "release": release,
            "source": source.get("digest"), "image": None, "built": None, "certificate": None, "replaced": None,
            "backTo": asked.get("release", 1) if goes_back else None,
            "state": "requested", "url": None, "steps": [], "refusals": [], "awaiting": [], "verdicts": [],
        }  # fmt: skip
        if asked["command"] in ("stop", "delete"):
            ended = "stopped" if asked["command"] == "stop" else "deleted"
            done = {"name": ended, "state": "done", "seconds": 0.1, "detail": None}
            over = {**document, "state": ended, "steps": [done]}
            self.models[project] |= {"state": ended, "url": None, "cause": over, "operation": over}
            return [document, over]
        last = {"build": "certified"}.get(asked["command"], "live")
        lives = [document]
        for name in STEPS:
            step = {"name": name, "state": "done", "seconds": 0.2, "detail": None}
            change: dict[str, Any] = {"state": name}
            if name == "cleared" and self.outcome == "refused":
                step |= {"state": "refused", "detail": "owner-named"}
                change = {"state": "refused", "refusals": [REFUSAL]}
            if name == "reserved" and self.outcome == "turned down":
                step |= {"state": "waiting"}
            if name == "built":
                reused = release > 1
                step["detail"] = "reused: the source is known" if reused else "5 layers"
                change |= {"image": IMAGE, "built": not reused}
            if name == "certified":
                verdicts = [{"rule": "owner-named", "result": "pass", "stage": "submit"}]
                change |= {"certificate": "certificate:1", "verdicts": [*verdicts, *self.warned]}
                if self.outcome == "awaiting":
                    step["state"] = "waiting"
                    change = {
                        "state": "awaiting",
                        "awaiting": [{"rule": "two-approvals", "why": "high risk needs two people"}],
                        "verdicts": [TWO_APPROVALS],
                    }
            if name == "live":
                if self.outcome in ("failed", "turned down"):
                    step |= {"state": "failed", "detail": "the sample request was answered otherwise"}
                    change = {
                        "state": "failed",
                        "refusals": [{"rule": None, "why": step["detail"], "fix": None}],
                    }
                else:
                    change["url"] = f"{self.url}/models/{project}"
                    weight = asked.get("canary") or asked.get("weight", 100)
                    change["share"] = weight if weight < 100 else None
                    change["replaced"] = self.replaced
            passed = [each for each in document["steps"] if each["state"] == "done"]
            document = {**document, **change, "steps": [*passed, step]}
            document["steps"] += to_come(
                last, document["steps"], document["state"] not in ("refused", "failed")
            )
            lives.append(document)
            if document["state"] in (last, "refused", "awaiting", "failed"):
                break
        if document["state"] == "live":
            of_model = ("project", "release", "state", "url", "image", "source", "certificate")
            self.models[project] = {**{key: document[key] for key in of_model}, "cause": document}
        if project in self.models:
            self.models[project]["operation"] = document
        return lives

    async def get_operation(self, request: Request) -> Response:
        operation = request.path_params["id"]
        if operation not in self.operations:
            return problem(404, f"no operation {operation}")
        return JSONResponse(self.operations[operation][-1])

    async def follow_operation(self, request: Request) -> Response:
        operation = request.path_params["id"]
        if operation not in self.operations:
            return problem(404, f"no operation {operation}")
        messages = [
            ("operation", number, json.dumps(document))
            for number, document in enumerate(self.operations[operation], start=1)
        ]
        return self.sent_events(request, messages)

    def sent_events(self, request: Request, messages: list[tuple[str, int, str]]) -> Response:
        after = int(request.headers.get("last-event-id") or request.query_params.get("after") or 0)
        if "last-event-id" in request.headers:
            self.resumed_from.append(request.headers["last-event-id"])

        async def stream() -> AsyncIterator[str]:
            yield "retry: 1\n\n: a comment\n\n"
            for kind, number, data in messages:
                if number <= after:
                    continue
                if self.break_after is not None and number > self.break_after:
                    self.break_after = None
                    yield f"event: {kind}\nid: {number}\ndata: {data[:5]}"
                    raise ConnectionAbortedError("the test said so")
                if self.cut_after is not None and number > self.cut_after:
                    self.cut_after = None
                    yield 'event: end\ndata: {"detail":"you read too slowly"}\n\n'
                    return
                if self.holds and number > 2:
                    await eventually(lambda: not self.holds)
                yield f"event: {kind}\nid: {number}\ndata: {data}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    # Reads

    async def list_models(self, request: Request) -> Response:
        gone = request.query_params.get("deleted") == "false"
        state, lapsing = request.query_params.get("state"), "lapsing" in request.query_params
        names = sorted(
            name
            for name, each in self.models.items()
            if (not gone or each["state"] != "deleted")
            and (state is None or each["state"] == state)
            and (not lapsing or each.get("lapsing", False))
        )
        after = request.query_params.get("after", "")
        page = [name for name in names if name > after][: int(request.query_params.get("limit", 2))]
        more = page[-1] if page and page[-1] != names[-1] else None
        return JSONResponse({"models": [self.models[name] for name in page], "next": more})

    async def get_model(self, request: Request) -> Response:
        project = request.path_params["project"]
        if project not in self.models:
            return problem(404, f"no project {project}")
        if project in self.hidden:
            return problem(403, f"{project} is private, and you have no role on it", rule="project.role")
        return JSONResponse({**self.models[project], "manifest": {"project": project}})

    async def get_example(self, request: Request) -> Response:
        project = request.path_params["project"]
        said = {"project": project, "release": 1, "access": self.example_access, "request": self.example}
        return JSONResponse(said) if self.example is not None else problem(404, f"{project} is not served")

    async def get_logs(self, request: Request) -> Response:
        project = request.path_params["project"]
        if project in self.never_ran:
            return problem(404, f"nothing of {project!r} ever ran here", fix="see `placet list`")
        if self.hides_what_was_read:
            self.hidden.add(project)
        tail = int(request.query_params.get("tail", 0))
        release = request.query_params.get("release", str(self.started_last))
        lines = self.log
        headers = {"X-Placet-Release": release}
        if self.live is not None:
            headers["X-Placet-Live-Release"] = str(self.live)

        async def send() -> AsyncIterator[str]:
            for line in lines[-tail:] if tail else lines:
                yield line + "\n"

        return StreamingResponse(send(), media_type="text/plain", headers=headers)

    async def get_build_log(self, request: Request) -> Response:
        followed = " to its end" if request.query_params.get("follow") == "1" else ""
        project, release = request.path_params["project"], request.path_params["release"]
        if (project, int(release)) in self.unbuilt or self.builds_begin_after:
            self.builds_begin_after = max(0, self.builds_begin_after - 1)
            return problem(404, f"there is no build log of {project} {release} here")
        if self.hides_what_was_read:
            self.hidden.add(project)
        return PlainTextResponse(f"locked 3 packages for {release}{followed}\nimage sha256:1\n")

    async def list_releases(self, request: Request) -> Response:
        asked = request.query_params
        found = [each for each in self.releases if each["release"] < int(asked.get("after", 1 << 31))]
        page = found[: int(asked.get("limit", 2))]
        more = page[-1]["release"] if len(page) < len(found) else None
        return JSONResponse({"releases": page, "next": more})

    async def get_release(self, request: Request) -> Response:
        number = request.path_params["release"]
        for each in self.releases:
            if each["release"] == number:
                return JSONResponse(each)
        project = request.path_params["project"]
        return problem(404, f"{project} has no release {number}", fix=f"see `placet releases {project}`")

    async def list_images(self, request: Request) -> Response:
        self.searches.append(request.query_params.multi_items())
        if request.query_params.get("format") == "sklern":
            return problem(400, "'sklern' is no format")
        return JSONResponse({"images": self.images, "next": None})

    async def get_image(self, request: Request) -> Response:
        for image in self.images:
            if image["image"] == request.path_params["digest"]:
                return JSONResponse(image)
        return problem(404, f"no image {request.path_params['digest']}")

    async def get_image_source(self, request: Request) -> Response:
        image = next(image for image in self.images if image["image"] == request.path_params["digest"])
        return Response(self.archives[image["source"]], media_type="application/x-tar")

    async def post_webhook(self, request: Request) -> Response:
        asked = await request.json()
        return problem(422, f"no event has a type like {asked.get('type')!r}", fix="see the list of types")

    async def list_webhooks(self, request: Request) -> Response:
        if request.headers.get("authorization") == f"Bearer {SCIENTIST}":
            return problem(403, "webhooks are for operators")
        return JSONResponse({"webhooks": self.webhooks})

    async def get_capacity(self, request: Request) -> Response:
        self.searches.append(request.query_params.multi_items())
        amount = {"cpuMillis": 8000, "memoryBytes": 2**34, "gpus": 0}
        free = amount | dict.fromkeys(self.used_up, 0)
        answer = {"total": amount, "free": free, "containers": False, "refusals": self.no_room}
        return JSONResponse(answer)

    async def get_placement(self, request: Request) -> Response:
        """Room for all, unless the test says otherwise."""
        asked = request.query_params
        self.searches.append(asked.multi_items())
        amount = {"cpuMillis": 8000, "memoryBytes": 2**34, "gpus": 0}
        each = {name: int(asked[name]) for name in ("cpuMillis", "memoryBytes", "gpus")}
        placement = {
            "project": request.path_params["project"],
            "state": "reserved",
            "where": "processes of this machine",
            "replicas": int(asked["minReplicas"]),
            "each": each,
            "all": {name: number * int(asked["minReplicas"]) for name, number in each.items()},
            "total": amount,
            "free": amount,
        }
        return JSONResponse({**placement, **self.placement})

    async def get_garbage(self, request: Request) -> Response:
        self.searches.append(request.query_params.multi_items())
        total = sum(item["bytes"] for item in self.garbage)
        return JSONResponse({"remove": self.garbage, "keep": [], "bytes": total})

    async def post_collection(self, request: Request) -> Response:
        stopped = {"why": "405", "fix": "allow deletions"} if self.is_undeletable else None
        removed, self.garbage = ([], self.garbage) if stopped else (self.garbage, [])
        total = sum(item["bytes"] for item in removed)
        return JSONResponse({"removed": removed, "bytes": total, "swept": 0, "stopped": stopped})

    async def list_exceptions(self, request: Request) -> Response:
        """Two a page."""
        project = request.path_params.get("project")
        mine = [each for each in self.exceptions[::-1] if project in (None, each["project"])]
        state = request.query_params.get("state")
        mine = [each for each in mine if state in (None, each["state"])]
        after = request.query_params.get("after")
        seen = next((n for n, each in enumerate(mine, 1) if each["exception"] == after), 0)
        page = mine[seen : seen + 2]
        return JSONResponse({"exceptions": page, "next": page[-1]["exception"] if len(page) == 2 else None})

    async def post_exception(self, request: Request) -> Response:
        asked = {"source": None, **(await request.json()), "project": request.path_params["project"]}
        same = ("project", "rule", "until", "source")
        for each in self.exceptions:
            if all(each[key] == asked[key] for key in same) and each["reason"] != asked["reason"]:
                return problem(
                    409, "you asked for the same before, with another reason, which stays", fix="withdraw it"
                )
        made = {
            **asked,
            "exception": f"exception:{len(self.exceptions) + 1}",
            "state": "requested",
            "requestedBy": {"person": "person:1", "name": "ada"},
            "requestedAt": "2026-11-01T00:00:00.000Z",
            **dict.fromkeys(("grantedBy", "grantedAt", "withdrawnBy", "withdrawnAt")),
        }
        self.exceptions.append(made)
        return JSONResponse(made, 201)

    async def decide_exception(self, request: Request) -> Response:
        asked = next(
            (each for each in self.exceptions if each["exception"] == request.path_params["id"]), None
        )
        if asked is None:
            return problem(
                404, "no exception", fix=f"see `placet exception list {request.path_params['project']}`"
            )
        if request.headers["authorization"] != f"Bearer {ADMIN}":
            return problem(403, "you asked for it yourself, and an exception takes two people")
        verb = {"grant": "granted", "withdraw": "withdrawn"}[request.path_params["verb"]]
        asked |= {"state": verb, f"{verb}By": {"person": "person:2", "name": None}}
        return JSONResponse(asked)

    async def list_reports(self, request: Request) -> Response:
        """Two a page."""
        wanted = {name: value for name, value in request.query_params.items() if name in ("kind", "release")}
        told = [
            report_of(each)
            for each in self.reported[::-1]
            if each["project"] == request.path_params["project"]
        ]
        told = [each for each in told if all(str(each[name]) == value for name, value in wanted.items())]
        seen = int(request.query_params.get("after", 0))
        page = told[seen : seen + 2]
        return JSONResponse({"reports": page, "next": str(seen + 2) if len(page) == 2 else None})

    async def post_reports(self, request: Request) -> Response:
        """Of a type that it does not know, it refuses all."""
        sent = await request.json()
        for index, event in enumerate(sent):
            if not event["type"].startswith("placet.report."):
                return problem(
                    422, f"what was sent, [{index}].type: {event['type']!r} is no type that is read here"
                )
        of = {"project": request.path_params["project"], "of": dict(request.query_params)}
        new = [{**event, **of} for event in sent]
        self.reported += new
        return JSONResponse({"reports": [report_of(each) for each in new]}, 201)

    async def get_report_schema(self, request: Request) -> Response:
        return JSONResponse({"title": f"placet.report.{request.path_params['kind']}.v1"})

    async def list_awaited(self, request: Request) -> Response:
        return JSONResponse({"releases": self.awaited})

    async def list_all_awaited(self, request: Request) -> Response:
        """One a page."""
        seen = int(request.query_params.get("after", "churn/0").rpartition("/")[2])
        page = [{"project": "churn", **each} for each in self.awaited if each["release"] > seen][:1]
        return JSONResponse({"releases": page, "next": f"churn/{page[0]['release']}" if page else None})

    async def list_reviews(self, request: Request) -> Response:
        self.searches.append(request.query_params.multi_items())
        owed = {"project": "churn", "certificate": "certificate:1", "release": 1, "state": "owed"}
        return JSONResponse({"reviews": [{**owed, "owedAt": "2026-11-01T00:00:00.000Z"}], "next": None})

    async def post_approval(self, request: Request) -> Response:
        given = await request.json()
        if given["binding"] not in [each["binding"] for each in self.awaited]:
            return problem(
                422, "it is something else by now", rule="approval.binding", fix="look at it again"
            )
        self.approved.append(given)
        made = {
            "approval": f"approval:{len(self.approved)}",
            "project": request.path_params["project"],
            "release": given["release"],
            "binding": given["binding"],
            "roles": given["roles"] or ["approver"],
            "givenBy": {"person": "person:2", "name": "bob"},
            "givenAt": "2026-11-27T00:00:00.000Z",
            "reason": given.get("reason"),
            "breakGlass": given.get("breakGlass", False),
        }
        return JSONResponse(made, 201)

    async def review_certificate(self, request: Request) -> Response:
        self.found.append((await request.json())["found"])
        return JSONResponse(self._standing(request.path_params["id"]), 201)

    async def get_certificate(self, request: Request) -> Response:
        certificate = request.path_params["id"]
        predicate = {
            "certificate": certificate,
            "notBefore": "2026-01-01T00:00:00Z",
            "notAfter": "2027-01-01T00:00:00Z",
            "policies": [{"id": "basics", "version": 1, "digest": "sha256:" + "c" * 64}],
            "verdicts": [
                {"rule": "owner-named", "policy": "basics", "stage": "submit", "result": "pass"},
                {"rule": "from-source", "policy": "basics", "stage": "certify", "result": "pass"},
            ],
        }
        statement = {"subject": [], "predicate": {**predicate, **self.of_certificate}}
        return JSONResponse(
            {**self._standing(certificate), "envelope": self.envelope, "statement": statement}
        )

    async def get_keys(self, request: Request) -> Response:
        return JSONResponse({"keys": self.public_keys})

    async def revoke_certificate(self, request: Request) -> Response:
        if SCIENTIST in request.headers.get("authorization", ""):
            return problem(403, "revoking a certificate needs one of the roles admin, approver, compliance")
        self.revoked.append((await request.json())["reason"])
        return JSONResponse(self._standing(request.path_params["id"]), 202)

    def _standing(self, certificate: str) -> dict[str, Any]:
        ground = {"rule": "certificate.revoked", "why": "it was revoked", "fix": "deploy again"}
        return {
            "certificate": certificate,
            "project": "wine",
            "release": 1,
            "image": f"sha256:{'1' * 64}",
            "state": "revoked" if self.revoked else "valid",
            "notAfter": "2027-01-01T00:00:00Z",
            "trial": True,
            "grounds": [ground] if self.revoked else [],
            "revokedBy": {"person": "person:2", "name": "bob"} if self.revoked else None,
            "revokedAt": "2026-02-01T00:00:00.000Z" if self.revoked else None,
            "reason": self.revoked[0] if self.revoked else None,
            "review": self.review,
        }

    async def post_token(self, request: Request) -> Response:
        if request.headers["authorization"] != f"Bearer {ADMIN}":
            return problem(403, "only an admin makes tokens")
        asked = await request.json()
        if any(token["as"] == asked["as"] for token in self.tokens.values()):
            return problem(409, f"{asked['as']} has a token")
        self.tokens["t1"] = asked
        made = {"token": "new-token", "id": "t1", "person": "person:1", "roles": asked["roles"]}
        return JSONResponse({**made, "expires": "2027-01-01T00:00:00Z"}, 201)

    async def post_own_token(self, request: Request) -> Response:
        if not self.guests(request.headers["authorization"].removeprefix("Bearer ")):
            return problem(422, "your token is one of placet's own already")
        self.tokens["own"] = {}
        made = {"token": "own-token", "id": "t2", "person": "person:1", "roles": ["scientist"]}
        return JSONResponse({**made, "expires": "2036-01-01T00:00:00Z"}, 201)

    async def delete_token(self, request: Request) -> Response:
        if self.tokens.pop(request.path_params["id"], None) is None:
            return problem(404, f"no token {request.path_params['id']}")
        return JSONResponse({"id": request.path_params["id"], "revoked": True})

    async def get_tokens(self, request: Request) -> Response:
        """One a page, the newest first."""
        if request.headers["authorization"] != f"Bearer {ADMIN}":
            return problem(403, "listing tokens needs one of the roles admin")
        after = request.query_params.get("after", "~")
        page = [id for id in sorted(self.tokens, reverse=True) if id < after][:1]
        told = [
            {
                "id": id,
                "person": "person:1",
                "name": self.tokens[id]["as"],
                "roles": self.tokens[id]["roles"],
                "issuedAt": "2026-01-01T00:00:00.000Z",
                "expires": "2027-01-01T00:00:00.000Z",
                "revoked": id in self.revoked_tokens,
            }
            for id in page
        ]
        return JSONResponse({"tokens": told, "next": page[0] if page else None})

    async def get_service(self, request: Request) -> Response:
        service = request.path_params["service"]
        if service in self.strangers:
            return problem(401, "the token is not signed by a key of ours")
        while service in self.silent and (await request.receive())["type"] != "http.disconnect":
            pass
        stands = {
            "service": service,
            "ready": True,
            "why": None,
            "hampered": [],
            "leads": True,
            "parked": len(self.parked.get(service, [])),
            "outbox": {"position": 12, "waiting": 0, "since": None},
            "hears": [
                {
                    "producer": "gateway",
                    "position": 7,
                    "behind": 0,
                    "waiting": 0,
                    "since": None,
                    "attempts": 0,
                }
            ],
            "jobs": [{"kind": "build", "running": 0, "waiting": 0, "failed": 0}],
            "projections": [],
        }
        return JSONResponse(stands | self.services.get(service, {}))

    def _may_operate(self, request: Request) -> bool:
        return request.headers["authorization"] == f"Bearer {ADMIN}"

    async def get_parked(self, request: Request) -> Response:
        if not self._may_operate(request):
            return problem(403, "what is parked is for the roles admin, operator")
        after, limit = request.query_params.get("after", ""), int(request.query_params["limit"])
        found = [each for each in self.parked.get(request.path_params["service"], []) if each["id"] > after]
        page = found[:limit]
        return JSONResponse({"parked": page, "next": page[-1]["id"] if len(found) > limit else None})

    async def retry_all_parked(self, request: Request) -> Response:
        if not self._may_operate(request):
            return problem(403, "what is parked is for the roles admin, operator")
        return JSONResponse({"retried": len(self.parked.pop(request.path_params["service"], []))}, 202)

    async def retry_parked(self, request: Request) -> Response:
        if not self._may_operate(request):
            return problem(403, "what is parked is for the roles admin, operator")
        service, id = request.path_params["service"], request.path_params["id"]
        parked = self.parked.get(service, [])
        self.parked[service] = [each for each in parked if each["id"] != id]
        return JSONResponse({"retried": len(parked) - len(self.parked[service])}, 202)

    async def get_retention(self, request: Request) -> Response:
        words = {"kind": "words", "what": "reasons", "days": 30, "number": 9, "due": 2, "kept": 1}
        return JSONResponse(
            {
                "classes": [{**words, "nextAt": None, **self.retained}],
                "holds": list(self.held_projects.values()),
            }
        )

    async def put_hold(self, request: Request) -> Response:
        project, asked = request.path_params["project"], await request.json()
        by = {"person": "person:1", "name": "Bob"}
        held = {"hold": "hold:1", "project": project, "placedBy": by, "placedAt": "2027", **asked}
        return JSONResponse(self.held_projects.setdefault(project, held))

    async def delete_hold(self, request: Request) -> Response:
        self.held_projects.pop(request.path_params["project"], None)
        return Response(status_code=204)

    async def get_quotas(self, request: Request) -> Response:
        """One a page."""
        after = request.query_params.get("after", "")
        page = [name for name in sorted(self.quotas) if name > after][:1]
        following = page[0] if page else None
        return JSONResponse({"quotas": [self.quotas[each] for each in page], "next": following})

    async def put_quota(self, request: Request) -> Response:
        scope, of = request.path_params["scope"].removesuffix("s"), request.path_params["of"]
        live = {"cpuMillis": 1500, "memoryBytes": 2**30, "gpus": 0, "models": 2}
        limits = await request.json()
        quota = {
            "scope": scope,
            "of": of,
            "limits": limits,
            "live": live,
            "projects": ["churn", "credit"],
            "exceeded": [kind for kind, limit in limits.items() if live[kind] > limit],
        }
        self.quotas[f"{scope}/{of}"] = quota
        return JSONResponse(quota)

    async def delete_quota(self, request: Request) -> Response:
        scope, of = request.path_params["scope"].removesuffix("s"), request.path_params["of"]
        if self.quotas.pop(f"{scope}/{of}", None) is None:
            return problem(404, f"{scope} {of} has no quota", fix="see `placet quota list`")
        return Response(status_code=204)

    async def any_team(self, request: Request) -> Response:
        team = request.path_params["team"]
        if request.method == "DELETE":
            del self.people_of_teams[team]
            return Response(status_code=204)
        if request.method == "PUT":
            body = await request.json()
            self.people_of_teams.setdefault(team, [])
            self.people_of_teams[team] = body.get("members", self.people_of_teams[team])
        return self._team(team)

    def _team(self, team: str) -> Response:
        if team not in self.people_of_teams:
            return problem(404, f"there is no team {team!r}", fix="see `placet team list`")
        return JSONResponse({"team": team, "members": self._people(team)})

    def _people(self, team: str) -> list[dict[str, str]]:
        return [{"person": f"person:{each}", "name": each} for each in self.people_of_teams.get(team, ())]

    async def put_member(self, request: Request) -> Response:
        team = request.path_params["team"]
        self.people_of_teams[team].append((await request.json())["person"])
        return self._team(team)

    async def delete_member(self, request: Request) -> Response:
        person = request.path_params["person"].removeprefix("person:")
        self.people_of_teams[request.path_params["team"]].remove(person)
        return Response(status_code=204)

    async def any_members(self, request: Request) -> Response:
        project = request.path_params["project"]
        roles = self.roles_on.setdefault(project, {})
        if request.method == "PUT":
            body = await request.json()
            to = body["to"] if ":" in body["to"] else f"person:{body['to']}"
            roles[to] = body["role"]
        members = [
            {
                "to": to,
                "name": to.partition(":")[2],
                "role": role,
                "grantedBy": {"person": "person:ada", "name": "ada"},
                "grantedAt": "2026-01-01T00:00:00.000Z",
            }
            for to, role in roles.items()
        ]
        private = project in self.private
        return JSONResponse(
            {
                "project": project,
                "private": private,
                "members": members,
                "yourRole": None,
                "youMayShare": self.may_share,
            }
        )

    async def delete_role(self, request: Request) -> Response:
        self.roles_on[request.path_params["project"]].pop(request.path_params["to"], None)
        return Response(status_code=204)

    async def any_private(self, request: Request) -> Response:
        change = self.private.add if request.method == "PUT" else self.private.discard
        change(request.path_params["project"])
        return Response(status_code=204)

    async def get_teams(self, request: Request) -> Response:
        teams = [
            {
                "team": team,
                "projects": [each for each in self.teams if self.teams[each] == team],
                "members": self._people(team),
            }
            for team in dict.fromkeys((*self.teams.values(), *self.people_of_teams))
        ]
        return JSONResponse({"teams": teams, "next": None})

    async def put_team(self, request: Request) -> Response:
        self.teams[request.path_params["project"]] = request.path_params["team"]
        return JSONResponse(dict(request.path_params))

    async def delete_team(self, request: Request) -> Response:
        self.teams.pop(request.path_params["project"], None)
        return Response(status_code=204)

    async def get_people(self, request: Request) -> Response:
        after = request.query_params.get("after", "")
        those = [each for id, each in sorted(self.people.items()) if id > after][:1]
        told = [{key: each[key] for key in ("person", "name", "state")} for each in those]
        return JSONResponse({"people": told, "next": told[-1]["person"] if told else None})

    async def get_person(self, request: Request) -> Response:
        held = self.people.get(request.path_params["person"])
        if held is None:
            return problem(404, "nobody is called that here")
        if held["state"] == "erasing":
            self.looks_until_erased -= 1
            if self.looks_until_erased < 0:
                held["state"] = "erased"
        return JSONResponse({key: value for key, value in held.items() if key != "given"})

    async def get_words(self, request: Request) -> Response:
        given, after = (
            self.people[request.path_params["person"]]["given"],
            request.query_params.get("after", ""),
        )
        those = [each for each in given if each["of"] > after][:1]
        return JSONResponse({"words": those, "next": those[-1]["of"] if those else None})

    async def delete_person(self, request: Request) -> Response:
        held = self.people[request.path_params["person"]]
        if held["state"] == "known":
            held.update(state="erasing", name="erased person 3f2a")
        return JSONResponse({key: value for key, value in held.items() if key != "given"}, 202)

    async def get_me(self, request: Request) -> Response:
        role = request.headers["authorization"].removeprefix("Bearer ").removesuffix("-token")
        role = role if len(role) < 20 else "scientist"
        commands = [] if role == "auditor" else COMMANDS
        return JSONResponse({"person": "person:1", "name": "Ada", "roles": [role], "commands": commands})

    async def get_events(self, request: Request) -> Response:
        asked = request.query_params
        chosen = [
            event
            for event in self.events
            if asked.get("project") in (None, event["partitionkey"])
            and fnmatchcase(event["type"], asked.get("type", "*"))
        ]
        if "follow" in asked:
            return self.sent_events(
                request, [("event", event["sequence"], json.dumps(event)) for event in chosen]
            )
        if "before" in asked:
            found = [event for event in reversed(chosen) if event["sequence"] < int(asked["before"])]
            found = [
                event
                for event in found
                if "until" not in asked or when(event["time"]) <= when(asked["until"])
            ]
            page = found[: int(asked.get("limit", 100))]
            left = len(found) > len(page)
            return JSONResponse({"events": page, "next": page[-1]["sequence"] if left else None})
        after = int(asked.get("after", 0))
        page = [event for event in chosen if event["sequence"] > after][:2]
        return JSONResponse({"events": page, "next": page[-1]["sequence"] if page else after})

    async def get_entries(self, request: Request) -> Response:
        after = int(request.query_params.get("after", 0))
        until = int(request.query_params.get("until", len(self.events) + 100))
        entries = [
            {
                "position": event["sequence"],
                "producer": event["source"],
                "epoch": "e1",
                "producerPosition": event["sequence"],
                "event": {key: value for key, value in event.items() if key != "sequence"},
            }
            for event in self.events
            if after < event["sequence"] <= until
        ]
        if request.headers.get("accept") == "application/jsonl":
            return Response(
                "".join(f"{json.dumps(each)}\n" for each in entries), media_type="application/jsonl"
            )
        page = entries[:2]
        last = page[-1]["position"] if page else after
        return JSONResponse({"entries": page, "next": last, "head": len(self.events)})

    def _as_of(self, request: Request) -> dict[str, Any]:
        """Of a time all of the log is read."""
        position = int(request.query_params.get("position", self.events[-1]["sequence"]))
        of = next((each for each in self.events if each["sequence"] == position), None)
        return {"at": request.query_params.get("at") or (of or {}).get("time"), "position": position}

    async def get_projects_then(self, request: Request) -> Response:
        return JSONResponse({**self._as_of(request), "projects": [], "next": None})

    async def get_state(self, request: Request) -> Response:
        lines = [self._as_of(request), *self.entities]
        return PlainTextResponse("".join(json.dumps(each) + "\n" for each in lines))

    async def get_why(self, request: Request) -> Response:
        return JSONResponse(self.whys[request.query_params["project"]])

    async def post_policy(self, request: Request) -> Response:
        body = await request.body()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        said = dict(
            line.split(": ", 1) for line in body.decode().splitlines() if line[:2] in ("id", "ve", "ti")
        )
        policy: dict[str, Any] = {
            "policy": said["id"],
            "version": int(said["version"]),
            "digest": digest,
            "title": said["title"],
            "owner": "compliance",
            "state": "submitted",
            "submittedBy": {"person": "person:1", "name": "Ada"},
        }
        known = next((each for each in self.policies if each["digest"] == digest), None)
        if known is not None:
            return JSONResponse(known, 202)
        if "warnFirst" in request.query_params:
            policy["warnUntil"] = f"{request.query_params['warnFirst']} later"
        self.policies.append(policy)
        self.policy_files[digest] = body.decode()
        return JSONResponse(policy, 202)

    async def list_policies(self, request: Request) -> Response:
        after = request.query_params.get("after")
        start = 0 if after is None else 1 + [each["digest"] for each in self.policies].index(after)
        page = self.policies[start : start + 2]
        following = page[-1]["digest"] if len(page) == 2 else None
        return JSONResponse({"policies": page, "next": following})

    async def get_policy(self, request: Request) -> Response:
        versions = [each for each in self.policies if each["policy"] == request.path_params["id"]]
        answer = JSONResponse({"policy": request.path_params["id"], "versions": versions})
        for each in versions:
            if each["state"] == "submitted":
                each.update(self.verdict)
        return answer if versions else problem(404, "no such policy")

    async def get_facts(self, request: Request) -> Response:
        """One of them in each answer, as if they were large."""
        self.people_asked |= set(request.query_params.getlist("personal"))
        asked = [*request.query_params.getlist("digest"), *request.query_params.getlist("personal")]
        return JSONResponse({"facts": {each: self.facts.get(each) for each in asked[:1]}})

    async def get_policy_file(self, request: Request) -> Response:
        file = self.policy_files.get(request.path_params["digest"])
        return problem(404, "no such policy") if file is None else PlainTextResponse(file)

    async def put_advisories(self, request: Request) -> Response:
        body = await request.body()
        digest = request.path_params["digest"]
        if digest != f"sha256:{hashlib.sha256(body).hexdigest()}":
            return problem(422, "other bytes")
        person = {"person": "person:1", "name": "Ada"}
        snapshot = {"digest": digest, "size": len(body), "state": "submitted", "submittedBy": person}
        self.advisories.insert(0, snapshot)
        return JSONResponse(snapshot, 202)

    async def list_advisories(self, request: Request) -> Response:
        after = request.query_params.get("after")
        start = 0 if after is None else 1 + [each["digest"] for each in self.advisories].index(after)
        page = self.advisories[start : start + 2]
        following = page[-1]["digest"] if len(page) == 2 else None
        return JSONResponse({"advisories": page, "next": following})

    async def get_snapshot(self, request: Request) -> Response:
        [snapshot] = [each for each in self.advisories if each["digest"] == request.path_params["digest"]]
        snapshot.update(self.read_as)
        return JSONResponse(snapshot)

    async def get_snapshot_file(self, request: Request) -> Response:
        self.snapshots_fetched += 1
        return Response(self.snapshots[request.path_params["digest"]], media_type="application/zip")

    async def list_questionnaires(self, request: Request) -> Response:
        return JSONResponse({"questionnaires": self.questionnaires, "next": None})

    async def post_questionnaire(self, request: Request) -> Response:
        self.imports.append((dict(request.query_params), await request.body()))
        return JSONResponse(self.questionnaires[0], 201)

    async def get_questionnaire(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        for each in self.questionnaires:
            if wanted in (each["questionnaire"], each["digest"]):
                return JSONResponse(each)
        return problem(404, f"there is no questionnaire {wanted!r} here", fix="see `placet assess --list`")

    async def list_assessments(self, request: Request) -> Response:
        """Two a page."""
        mine = self.assessments[::-1]
        after = request.query_params.get("after")
        seen = next((n for n, each in enumerate(mine, 1) if each["assessment"] == after), 0)
        page = mine[seen : seen + 2]
        return JSONResponse({"assessments": page, "next": page[-1]["assessment"] if len(page) == 2 else None})

    async def post_assessment(self, request: Request) -> Response:
        asked = await request.json()
        made = {
            "assessment": f"assessment:{len(self.assessments) + 1}",
            "project": request.path_params["project"],
            "state": "answered",
            "questionnaire": "small",
            "version": "1",
            "digest": asked["questionnaire"],
            "source": asked.get("source") or f"sha256:{'5' * 64}",
            "answeredAt": "2026-11-01T00:00:00.000Z",
            "asked": asked,
        }
        self.assessments.append(made)
        return JSONResponse(made, 202)

    async def get_assessment(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        made = next(each for each in self.assessments if each["assessment"] == wanted)
        made |= self.assessed
        return JSONResponse(made)

    async def predict(self, request: Request) -> Response:
        asked = await request.json()
        self.predicted.append(asked)
        return JSONResponse({"outputs": [len(asked["inputs"])]})


def to_come(last: str, steps: list[dict[str, Any]], is_moving: bool) -> list[dict[str, Any]]:
    """The steps after those there are: one at work while the operation moves, the others waiting."""
    names = STEPS[len(steps) : STEPS.index(last) + 1]
    at_work = is_moving and all(step["state"] == "done" for step in steps)
    return [
        {
            "name": name,
            "state": "running" if at_work and name == names[0] else "waiting",
            "seconds": None,
            "detail": None,
        }
        for name in names
    ]


def when(time: str) -> datetime:
    return datetime.fromisoformat(time)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: str) -> Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def event(
    sequence: int, project: str = "wine", type: str = "placet.builder.image.built.v1"
) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"e{sequence}",
        "source": "builder",
        "type": type,
        "partitionkey": project,
        # A line separator is a character like any other inside JSON, and no end of a line in an event stream.
        "data": {"note": "one\u2028two"},
        "sequence": sequence,
    }


@contextmanager
def running(platform: FakePlatform) -> Iterator[FakePlatform]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # from here on a client waits for the thread, however slowly it begins
    platform.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(  # noqa: TID251 -- asked by tests alone
        platform.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = EndsAtOnce(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield platform
    finally:
        platform.holds = False
        server.end()
        thread.join()
        listener.close()


def release(number: int, **said: Any) -> dict[str, Any]:
    """One that serves, unless told."""
    return {
        "project": "wine",
        "release": number,
        "state": "live",
        "served": "now",
        "operation": f"operation-{number}",
        "command": "deploy",
        "image": IMAGE,
        "liveAt": f"2026-01-0{number}T12:00:00.000Z",
        "metrics": [],
        **said,
    }


def replaced(number: int, by: int, **said: Any) -> dict[str, Any]:
    """A release whose place another one took."""
    taker = {"release": by, "operation": f"operation-{by}", "command": "deploy", "backTo": None, **said}
    ended = f"2026-01-0{by}T12:00:00.000Z"
    return release(
        number, state="replaced", served="before", ended="replaced", endedAt=ended, replacedBy=taker
    )


def report_of(event: dict[str, Any]) -> dict[str, Any]:
    """What the platform tells of an event that was sent to it."""
    content = {name: value for name, value in event["data"].items() if name != "summary"}
    release = event["of"].get("release")
    return {
        "report": f"report:{event['id']}",
        "project": event["project"],
        "kind": event["type"].split(".")[2],
        "release": None if release is None else int(release),
        "source": event["of"].get("source"),
        "at": event["time"],
        "heardAt": "2026-11-01T00:00:00.000Z",
        "reportedBy": {"person": "person:1", "name": "ada"},
        "content": content,
        "summary": event["data"].get("summary"),
    }
