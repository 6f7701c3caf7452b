"""The ASGI application: routes, and the record of each request. What a route does is in the modules that it calls."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from bankmlops.errors import InvalidRequestError
from bankmlops.scoring import docs
from bankmlops.scoring.asgi import (
    JSON,
    Headers,
    Receive,
    Response,
    Scope,
    Send,
    head_bytes,
    json_response,
    send_response,
    text_response,
)
from bankmlops.scoring.aside import Request
from bankmlops.scoring.aside_process import Answer
from bankmlops.scoring.batches import Batches
from bankmlops.scoring.collector import Collected, ModelDataCollector
from bankmlops.scoring.cors import Cors
from bankmlops.scoring.exchange import AHEAD, BodyReader, Exchange
from bankmlops.scoring.metrics import Metrics, counter_lines, gauge_lines, model_lines
from bankmlops.scoring.model import Prediction, Scorer, encode_azure, encode_plain
from bankmlops.scoring.openapi import openapi_3
from bankmlops.scoring.refusal import DisconnectedError, RefusedError, invalid, overloaded
from bankmlops.scoring.service import ServiceFile
from bankmlops.scoring.small_requests import SmallRequest, SmallRequests
from bankmlops.scoring.swagger import swagger_2
from bankmlops.scoring.telemetry import MAX_CONTEXT, RequestLog, RequestRow

_LOG = logging.getLogger("bankmlops.scoring")
_QUIET = frozenset({"/", "/health/live", "/health/ready", "/metrics"})
_ROUTES = frozenset({"/score", "/explain"})
_CLOSE: Headers = ((b"connection", b"close"),)
_PLAIN = b"format=plain"
_INTERNAL = "An unexpected internal error occurred. Check the logs for more info."


class ScoringApp:
    """One worker's application.

    `draining` is set on the way out: not ready, and each answer closes its connection; `retiring` where others serve on: each
    answer closes its connection too, but it stays ready. `gather` makes the service's metrics out of this worker's own.

    `waiting` is how many requests arrived and were not begun. Small ones come by `begin_small` and `small_arrived`, and are
    answered in turns; the others by ASGI, after `arrived`, whose answer is in the scope under `AHEAD`.
    """

    def __init__(
        self,
        scorer: Scorer,
        service_file: ServiceFile,
        request_log: RequestLog,
        collector: ModelDataCollector,
        batches: Batches,
        explanations: Batches,
    ) -> None:
        self.draining = False
        self.retiring = False
        self.waiting = 0
        self.gather: Callable[[str], str] = str
        self._scorer = scorer
        self._service_file = service_file
        self._request_log = request_log
        self._collector = collector
        service = service_file.current()
        self._metrics = Metrics("bankmlops")
        self._explain_metrics = Metrics("bankmlops_explain")
        self._cors = Cors(service.cors_origins) if service.cors_origins else None
        self._plain_json = service.plain_json
        limits = service.limits
        self.inline_bytes = limits.inline_bytes
        self._limits = limits
        self._small = SmallRequests(self._answer_together, limits.inline_bytes)
        self._batches = batches
        self._explanations = explanations
        self._bodies = BodyReader(limits)
        self._pages: dict[str, Callable[[], Response]] = {
            "/": lambda: text_response("Healthy"),
            "/health/live": lambda: text_response("Healthy"),
            "/health/ready": self._ready,
            "/openapi.json": self._openapi,
            "/metrics": self._metrics_page,
            "/docs": lambda: docs.page(self._service_file.current().name, "docs"),
            "/docs/initializer.js": lambda: docs.initializer("swagger.json"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; no input makes this raise."""
        exchange = Exchange.of(scope)
        self.waiting -= AHEAD in scope
        try:
            response = await self._answer(exchange, receive)
        except DisconnectedError:
            self._record(exchange, 499)
            return
        extra = self._extra(exchange)
        await send_response(send, response, extra + _CLOSE if self._is_going else extra)
        self._record(exchange, response.status)

    def arrived(self) -> int:
        """One more waits; answers how many are ahead of it."""
        self.waiting += 1
        return self.waiting - 1

    def begin_small(self, headers: dict[bytes, bytes]) -> Exchange:
        """The head of a small `POST /score` is there."""
        return Exchange("POST", "/score", headers)

    def small_arrived(self, request: SmallRequest) -> None:
        """It is there as a whole: have it answered in one of the next turns, or refuse it where it would wait too long."""
        exchange = request.exchange
        exchange.request_bytes = len(request.body)
        exchange.ahead = self.waiting
        try:
            exchange.read_client_id()
            self._check_queue(exchange)
        except RefusedError as refused:
            self._finish(request, self._refused(exchange, refused))
            return
        self.waiting += 1
        self._small.put(request)

    def small_left(self, exchange: Exchange) -> None:
        """Its caller went away before it was whole."""
        self._record(exchange, 499)

    @property
    def algorithm(self) -> str:
        """What the model is."""
        return self._scorer.bundle.algorithm

    def turned_away(self, reason: str) -> None:
        """Count a request that did not get here: its head, or its pace, was not acceptable."""
        self._metrics.rejections[reason] += 1

    def close(self) -> None:
        """Stop the workers and let the log finish."""
        self._batches.close()
        self._explanations.close()
        self._request_log.close()
        self._collector.close()

    async def _answer(self, exchange: Exchange, receive: Receive) -> Response:
        try:
            exchange.read_client_id()
            if exchange.path not in _ROUTES:
                return self._page(exchange)
            if exchange.method == "OPTIONS":
                return self._options(b"OPTIONS, POST")
            self._admit(exchange)
            pieces = await self._bodies.read(exchange, receive)
            if exchange.path == "/explain":
                answer = await self._explanations.answer(Request(pieces), receive)
                return _answered(exchange, answer, answer.body)
            if exchange.request_bytes > self.inline_bytes:
                return await self._scored_aside(exchange, pieces, receive)
            body = b"".join(pieces)
            return self._scored(exchange, body, self._scorer.score(body))
        except DisconnectedError:
            raise
        except Exception as error:
            return self._refused(exchange, error)

    def _answer_together(self, requests: Sequence[SmallRequest]) -> int:
        """Answer small requests; what is wrong with one touches no other. Answers how many were scored."""
        self.waiting -= len(requests)
        admitted = [request for request in requests if self._admits(request)]
        if not admitted:
            return 0
        answers = self._scorer.score_together([request.body for request in admitted])
        for request, answer in zip(admitted, answers, strict=True):
            self._finish(request, self._told(request, answer))
        return len(admitted)

    def _admits(self, request: SmallRequest) -> bool:
        exchange = request.exchange
        if request.disconnected:
            self.small_left(exchange)
            return False
        try:
            # By the pace of its arrival it would not have waited so long; who found nobody ahead is served in any case.
            if exchange.ahead and not self._is_going and time.perf_counter() - request.arrived > self._limits.waiting_seconds:
                raise overloaded("it has waited too long behind others: try again")
            self._check_caller(exchange)
        except RefusedError as refused:
            self._finish(request, self._refused(exchange, refused))
            return False
        return True

    def _told(self, request: SmallRequest, answer: Prediction | Exception) -> Response:
        if isinstance(answer, Exception):
            return self._refused(request.exchange, answer)
        return self._scored(request.exchange, request.body, answer)

    def _finish(self, request: SmallRequest, response: Response) -> None:
        request.keep_alive = request.keep_alive and not self._is_going
        request.connection.answer(request, head_bytes(response, self._extra(request.exchange)), response.body)
        self._record(request.exchange, response.status)

    def _extra(self, exchange: Exchange) -> Headers:
        extra = exchange.identity()
        return extra if self._cors is None else extra + self._cors.headers(exchange.headers)

    @property
    def _is_going(self) -> bool:
        return self.draining or self.retiring

    def _refused(self, exchange: Exchange, error: Exception) -> Response:
        """What the caller is told of an error; one that is no refusal is ours, and goes to the log alone."""
        if isinstance(error, InvalidRequestError):
            error = invalid(str(error))
        elif not isinstance(error, RefusedError):
            _LOG.error("%s %r failed, request_id=%s", exchange.method, exchange.path, exchange.request_id, exc_info=error)
            error = RefusedError(500, "internal", _INTERNAL)
        return exchange.refuse(error).response()

    def _options(self, allowed: bytes) -> Response:
        more = self._cors.preflight() if self._cors is not None else ()
        return Response(200, ((b"allow", allowed), *more), b"")

    def _admit(self, exchange: Exchange) -> None:
        """Refuse a request by its method, the queue, its key or its content's type, before its body is read."""
        if exchange.method != "POST":
            raise RefusedError(405, "method", "Method not allowed: POST would serve", ((b"allow", b"OPTIONS, POST"),))
        self._check_queue(exchange)
        self._check_caller(exchange)

    def _check_queue(self, exchange: Exchange) -> None:
        limits, ahead = self._limits, exchange.ahead
        if ahead >= limits.waiting_requests or self._small.seconds_behind(ahead) > limits.waiting_seconds:
            raise overloaded("too many requests wait already: try again")

    def _check_caller(self, exchange: Exchange) -> None:
        exchange.key = self._service_file.authenticate(exchange.headers.get(b"authorization"))
        _check_content(exchange.headers)

    async def _scored_aside(self, exchange: Exchange, pieces: Sequence[bytes], receive: Receive) -> Response:
        """What takes too long for the event loop."""
        collects = self._service_file.latest.collect_model_data
        answer = await self._batches.answer(Request(pieces, self._is_plain(exchange), collects), receive)
        if collects:
            self._collect(exchange, answer.sample, answer.result)
        return _answered(exchange, answer, answer.body)

    def _scored(self, exchange: Exchange, body: bytes, prediction: Prediction) -> Response:
        if self._service_file.latest.collect_model_data:
            self._collect(exchange, body, prediction.result)
        encode = encode_plain if self._is_plain(exchange) else encode_azure
        return _answered(exchange, prediction, encode(prediction))

    def _collect(self, exchange: Exchange, body: bytes, result: list[str] | list[list[float]]) -> None:
        model = self._service_file.latest.model
        self._collector.put(Collected(exchange.timestamp, exchange.request_id, model, body, result))

    def _is_plain(self, exchange: Exchange) -> bool:
        return self._plain_json or _PLAIN in exchange.headers.get(b"accept", b"")

    def _page(self, exchange: Exchange) -> Response:
        path = exchange.path
        page = partial(self._swagger, exchange.scheme) if path == "/swagger.json" else self._pages.get(path)
        if page is None and not path.startswith("/docs/"):
            raise RefusedError(404, "path", "Not found: GET /, /swagger.json, /docs, POST /score and /explain would serve")
        if exchange.method == "OPTIONS" and self._cors is not None:
            return self._options(b"GET, HEAD, OPTIONS")
        if exchange.method not in ("GET", "HEAD"):
            raise RefusedError(405, "method", "Method not allowed: GET would serve", ((b"allow", b"GET, HEAD"),))
        return page() if page else docs.asset(path.removeprefix("/docs/"))

    def _ready(self) -> Response:
        return text_response("Draining", 503) if self.draining else text_response("Ready")

    def _swagger(self, scheme: str) -> Response:
        bundle = self._scorer.bundle
        name = self._service_file.current().name
        return json_response(swagger_2(name, bundle.specification, bundle.input_example, scheme))

    def _openapi(self) -> Response:
        return json_response(openapi_3(self._service_file.current(), self._scorer.bundle))

    def _metrics_page(self) -> Response:
        return text_response(self.gather(self.metrics_text()))

    def metrics_text(self) -> str:
        """This worker's own metrics."""
        service = self._service_file.current()
        gauges = {
            "waiting_requests": self.waiting,
            "batch_queue": self._batches.queued,
            "explain_queue": self._explanations.queued,
            "body_buffer_bytes": self._bodies.buffered,
            "log_queue": self._request_log.queued,
        }
        counters = {"log_rows_dropped": self._request_log.dropped, "collector_requests_dropped": self._collector.dropped}
        model = {"model": service.model_name, "version": service.model_version, "algorithm": self._scorer.bundle.algorithm}
        lines = [*self._metrics.lines(), *self._explain_metrics.lines(), *gauge_lines(gauges)]
        lines += [*counter_lines(counters), *model_lines(model), ""]
        return "\n".join(lines)

    def _record(self, exchange: Exchange, status: int) -> None:
        duration = exchange.elapsed_ms()
        if exchange.path == "/score":
            self._metrics.count(status, duration, exchange.rows, exchange.reason)
        elif exchange.path == "/explain":
            self._explain_metrics.count(status, duration, exchange.rows, exchange.reason)
        elif exchange.path in _QUIET and status < 400:
            return
        service = self._service_file.latest
        self._request_log.put(RequestRow(
            exchange.timestamp, exchange.request_id, exchange.client_request_id, exchange.method, exchange.path, status,
            exchange.rows, exchange.request_bytes, duration, exchange.exec_ms, exchange.key,
            service.model, exchange.error, service.app_insights,
            exchange.headers.get(b"traceparent", b"")[:MAX_CONTEXT] if service.app_insights else b"",
        ))  # fmt: skip


def _check_content(headers: dict[bytes, bytes]) -> None:
    content_type = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if content_type != b"application/json":
        raise RefusedError(415, "content_type", "Content-Type must be application/json")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise RefusedError(415, "content_type", "Content-Encoding is not supported: send the body as it is")


def _answered(exchange: Exchange, answer: Prediction | Answer, body: bytes) -> Response:
    exchange.rows, exchange.exec_ms = answer.rows, answer.exec_ms
    return Response(200, (*JSON, (b"x-ms-run-fn-exec-ms", b"%.3f" % answer.exec_ms)), body)
