"""The paths of the model server, and what happens on each.

An ASGI application over fixed paths. A handler takes the request and returns an answer or raises `Problem`;
access, metrics and errors are dealt with once, around it. Nothing here knows sockets, signals or formats.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter

import msgspec

from placet.runtime import docs, inference_protocol, memory, openapi
from placet.runtime.access import Tokens
from placet.runtime.batching import Batcher, Full, Overdue
from placet.runtime.exchange import Answer, ClientGone, Receive, Request, Room, Scope, Send
from placet.runtime.inference_protocol import Inference
from placet.runtime.logs import Log
from placet.runtime.metrics import Metrics
from placet.runtime.model import Model, WrongAnswer
from placet.runtime.observations import Observations
from placet.runtime.plain import PlainCodec
from placet.runtime.problems import MEDIA_TYPE as PROBLEM_TYPE
from placet.runtime.problems import Problem, busy, unacceptable, words_of
from placet.runtime.sample import Sample
from placet.runtime.signature import Tensors

Handler = Callable[[Request], Awaitable[Answer]]

_OPEN = ("/v2/health/live", "/v2/health/ready")  # whoever supervises this process holds no token
_OPEN_PAGES = ("/", "/docs")  # who has no token sees a door there
_PREDICTIONS = frozenset({"/predict", "/docs/ask", "/v2/models/infer"})
_NOT_LET_IN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
_LENGTH = "Inference-Header-Content-Length"


class App:
    def __init__(
        self,
        model: Model,
        batcher: Batcher,
        *,
        project: str,
        release: str | None,
        root_path: str,
        max_body: int,
        room: Room,
        sample: Sample | None,
        example: bytes,
        tokens: Tokens | None,
        supervisors: Tokens | None,
        metrics: Metrics,
        observations: Observations,
        log: Log,
    ) -> None:
        """`tokens` are asked for on every path but health, `supervisors`' on `/observations` alone."""
        self._signature = model.signature
        self._batcher = batcher
        self._plain = PlainCodec(model.signature)
        self._project = project
        self._release = release
        self._root_path = root_path
        self._max_body = max_body
        self._room = room
        self._example = sample.request if sample else _shown(example, self._plain)
        self._tokens = tokens
        self._supervisors = supervisors
        self._metrics = metrics
        self._observations = observations
        self._log = log
        self._openapi = openapi.document(
            model.signature, project=project, release=release, root_path=root_path, example=self._example,
            needs_token=tokens is not None,
        )  # fmt: skip
        self._ask_path = f"/docs/ask/{secrets.token_urlsafe(16)}"
        self._paths = self._routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request = Request(scope, receive, self._max_body, self._room)
        self._metrics.begin()
        try:
            try:
                label, answer = await self._answer(request)
                await answer.compress(request.header(b"accept-encoding"))
            except ClientGone:
                self._metrics.gone()
                return
            except asyncio.CancelledError:
                self._metrics.gone()
                raise
            seconds = perf_counter() - started
            self._metrics.end(label, answer.status, seconds)
            if label == "/docs/ask":  # the page is of no origin, and a browser shows it no answer otherwise
                answer.headers.append((b"access-control-allow-origin", b"null"))
            if self._is_asked(request, label, answer):
                self._observations.answered(answer.status, seconds)
            await answer.send(send)
        finally:
            request.end()

    async def _answer(self, request: Request) -> tuple[str, Answer]:
        """With the label that metrics know the path by: a client must not be able to invent labels."""
        label, methods = self._paths.get(request.path, ("other", None))
        try:
            return label, await self._handle(request, methods)
        except Problem as problem:
            return label, _problem(problem, request)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a model answered, its client gets an answer
            return label, _problem(self._failure(error), request)

    async def _handle(self, request: Request, methods: dict[str, Handler] | None) -> Answer:
        if self._tokens is not None and not self._is_open(request):
            self._tokens.check(request.header(b"authorization"))
        if methods is None:
            raise self._unknown(request.path)
        handler = methods.get(request.scope["method"])
        if handler is None:
            raise _not_allowed(request.path, methods)
        return await handler(request)

    def _is_asked(self, request: Request, label: str, answer: Answer) -> bool:
        """Whether it was asked for a prediction, by who may. Its certificate may rest on how it answers: nobody else is
        to make that look worse, or better."""
        is_asking = label in _PREDICTIONS and request.scope["method"] == "POST"
        return is_asking and answer.status not in _NOT_LET_IN and not self._is_probe(request)

    def _is_open(self, request: Request) -> bool:
        is_preflight = request.path == self._ask_path and request.scope["method"] == "OPTIONS"
        return request.path in _OPEN or request.path in _OPEN_PAGES or is_preflight

    def _routes(self) -> dict[str, tuple[str, dict[str, Handler]]]:
        def reads(label: str, handler: Handler) -> tuple[str, dict[str, Handler]]:
            return label, {"GET": handler, "HEAD": handler}

        routes: dict[str, tuple[str, dict[str, Handler]]] = {
            "/": reads("/", self._home),
            "/predict": ("/predict", {"POST": self._predict}),
            "/docs": reads("/docs", self._docs),
            self._ask_path: (
                "/docs/ask",
                {"GET": self._tell_page, "POST": self._predict, "OPTIONS": self._let_ask},
            ),
            "/openapi.json": reads("/openapi.json", self._describe),
            "/metrics": reads("/metrics", self._show_metrics),
            "/observations": reads("/observations", self._observe),
            "/v2": reads("/v2", self._server_metadata),
            "/v2/health/live": reads("/v2/health/live", self._live),
            "/v2/health/ready": reads("/v2/health/ready", self._ready),
        }
        models = [f"/v2/models/{self._project}"]
        if self._release is not None:
            models.append(f"{models[0]}/versions/{self._release}")
        for path in models:
            routes[path] = reads("/v2/models", self._model_metadata)
            routes[f"{path}/ready"] = reads("/v2/models/ready", self._model_ready)
            routes[f"{path}/infer"] = ("/v2/models/infer", {"POST": self._infer})
        return routes

    async def _predict(self, request: Request) -> Answer:
        inputs = self._read(request, await request.body())
        outputs = await self._ask(request, inputs, self._plain.outputs)
        _expect_answer(request, outputs)
        return Answer(self._plain.encode(outputs))

    def _read(self, request: Request, body: bytes) -> Tensors:
        """Its body is gone when this returns: a request that waits holds its arrays only."""
        if len(body) < memory.SMALL:
            return self._plain.decode(body)
        request.expect(memory.of_json(body), _once_read(body))
        inputs = self._plain.decode(body)
        request.take(memory.held(inputs))
        return inputs

    def _read_inference(self, request: Request, body: bytes, length: bytes | None) -> Inference:
        if len(body) < memory.SMALL:
            return inference_protocol.decode(body, length, self._signature)
        header, tail = inference_protocol.parted(body, length)
        request.expect(memory.of_binary(header, len(tail)), _once_read(body))
        inference = inference_protocol.decode(body, length, self._signature)
        request.take(memory.held(inference.inputs))
        return inference

    async def _infer(self, request: Request) -> Answer:
        length = request.header(b"inference-header-content-length")
        inference = self._read_inference(request, await request.body(), length)
        outputs = await self._ask(request, inference.inputs, inference.outputs)
        if not inference.binary:
            _expect_answer(request, outputs)
        body, header_length = inference_protocol.encode(
            inference, outputs, self._signature, project=self._project, release=self._release
        )
        if header_length is None:
            return Answer(body)
        return Answer(body, media_type="application/octet-stream", headers={_LENGTH: str(header_length)})

    async def _ask(self, request: Request, inputs: Tensors, outputs: tuple[str, ...]) -> Tensors:
        try:
            answer = self._batcher.submit(inputs, outputs)
            if not self._batcher.is_quick:
                await _answered_or_gone(answer, request)
            tensors = await answer
            if not self._is_probe(request) and self._observations.took(inputs):
                asyncio.get_running_loop().call_soon(
                    self._observations.count
                )  # once this answer is on its way
            return tensors
        except Full:
            raise busy("more requests wait for this model than its queue holds") from None
        except Overdue as overdue:
            if not overdue.is_computing:
                raise busy(f"the model was busy for {overdue.seconds:g} s, and was not asked") from None
            self._metrics.failed()
            raise Problem(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the model did not answer within {overdue.seconds:g} s",
                fix="send fewer rows at a time",
            ) from None
        except (ClientGone, asyncio.CancelledError):
            raise
        except (ValueError, TypeError) as error:  # what libraries raise for values they were not made for
            self._metrics.failed()
            raise unacceptable(f"the model refuses these inputs: {words_of(error)}") from error
        except WrongAnswer as error:
            self._metrics.failed()
            self._log.error("prediction failed", error=error)
            raise Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the model is not what it says: {words_of(error)}",
                fix="mend the model",
            ) from error
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> Problem:
        self._metrics.failed()
        self._log.error("prediction failed", error=error)
        return Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"the model failed with {type(error).__name__}",
            fix="the model's log has the whole story",
        )

    async def _home(self, request: Request) -> Answer:
        location = f"{self._root_path}/docs"
        return Answer(b"", status=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})

    async def _docs(self, request: Request) -> Answer:
        if self._is_unknown(request):
            return _html(docs.door(project=self._project, ask=self._ask_path.removeprefix("/")))
        return self._page(request)

    def _page(self, request: Request) -> Answer:
        host = (request.header(b"host") or b"localhost").decode("latin-1")
        scheme = "https" if request.header(b"x-forwarded-proto") == b"https" else "http"
        page = docs.page(
            self._signature,
            project=self._project,
            release=self._release,
            address=f"{scheme}://{host}{self._root_path}",
            ask=self._ask_path.removeprefix("/"),  # beside the page, wherever proxies mount that
            example=self._example,
            needs_token=self._tokens is not None,
        )
        return _html(page)

    def _is_unknown(self, request: Request) -> bool:
        try:
            if self._tokens is not None:
                self._tokens.check(request.header(b"authorization"))
        except Problem:
            return True
        return False

    async def _tell_page(self, request: Request) -> Answer:
        """The example that fills its form, or all of the page, for one that was given a token since it was opened."""
        if request.header(b"accept") == b"text/html":
            return self._page(request)
        return Answer(self._example)

    async def _let_ask(self, request: Request) -> Answer:
        return Answer(b"", status=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT)

    async def _describe(self, request: Request) -> Answer:
        return Answer(self._openapi)

    async def _show_metrics(self, request: Request) -> Answer:
        text, media_type = self._metrics.exposition()
        return Answer(text, media_type=media_type)

    def _is_probe(self, request: Request) -> bool:
        """Whether its supervisor asks to see if it answers, which is nobody's use of it."""
        if self._supervisors is None or request.header(b"placet-probe") is None:
            return False
        try:
            self._supervisors.check(request.header(b"authorization"))
        except Problem:
            return False
        return True

    async def _observe(self, request: Request) -> Answer:
        if self._supervisors is not None:
            self._supervisors.check(request.header(b"authorization"))
        return Answer(self._observations.document())

    async def _server_metadata(self, request: Request) -> Answer:
        return _json({"name": "placet", "version": openapi.VERSION, "extensions": ["binary_tensor_data"]})

    async def _live(self, request: Request) -> Answer:
        return _json({"live": True})

    async def _ready(self, request: Request) -> Answer:
        return _json({"ready": True})

    async def _model_ready(self, request: Request) -> Answer:
        return _json({"name": self._project, "ready": True})

    async def _model_metadata(self, request: Request) -> Answer:
        return _json(
            {
                "name": self._project,
                "versions": [] if self._release is None else [self._release],
                "platform": self._signature.platform,
                "inputs": [tensor.metadata() for tensor in self._signature.inputs],
                "outputs": [tensor.metadata() for tensor in self._signature.outputs],
            }
        )

    def _unknown(self, path: str) -> Problem:
        if path.startswith("/v2/models/"):
            version = f", version {self._release}" if self._release else ""
            return Problem(
                HTTPStatus.NOT_FOUND, f"{path} is not here: this server has {self._project}{version}"
            )
        return Problem(HTTPStatus.NOT_FOUND, f"{path} does not exist", fix=f"see {self._root_path}/docs")


def _once_read(body: bytes) -> str:
    return f"the body of {len(body)} bytes, once read,"


def _expect_answer(request: Request, outputs: Tensors) -> None:
    size = memory.of_answer(outputs)
    if size > memory.MUCH:
        request.expect(size, "the answer")


async def _answered_or_gone(answer: asyncio.Future[Tensors], request: Request) -> None:
    """Withdraws a request whose client hung up while it waited."""
    gone = asyncio.ensure_future(request.gone())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            raise ClientGone
    finally:
        gone.cancel()


def _not_allowed(path: str, methods: dict[str, Handler]) -> Problem:
    allowed = ", ".join(methods)
    return Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}", headers={"Allow": allowed})


def _html(page: bytes) -> Answer:
    return Answer(page, media_type="text/html; charset=utf-8", policy=docs.POLICY)


def _json(document: object) -> Answer:
    return Answer(msgspec.json.encode(document))


def _problem(problem: Problem, request: Request) -> Answer:
    """Clients of the protocol (KServe's) read no `error` out of any other type than JSON's own."""
    media_type = "application/json" if request.path.startswith("/v2") else PROBLEM_TYPE
    return Answer(problem.body(), status=problem.status, media_type=media_type, headers=problem.headers)


def _shown(example: bytes, codec: PlainCodec) -> bytes:
    """The example that came with the model, if it fits, or a made-up one."""
    with suppress(Problem):
        if example:
            codec.decode(example)
            return example
    return codec.example()
