"""Requests as spans, in OTLP over HTTP with binary protobuf (OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP").

The attributes' names are those of OpenTelemetry's semantic conventions for HTTP servers; what they don't know is `bankmlops.*`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from bankmlops import __version__
from bankmlops.errors import InvalidRequestError
from bankmlops.insights.destination import Message, Verdict, checked_url
from bankmlops.insights.recorded import RecordedRequest

HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
_PATH = "/v1/traces"
_RETRIED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Otlp:
    """An OTLP receiver; `headers` may hold its key."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, url: str, headers: str = "") -> Otlp:
        """The one at a base address or its /v1/traces; `headers` as the variable has them. Raises `InvalidRequestError`."""
        base = checked_url(url, "--otlp").removesuffix(_PATH)
        return cls(base + _PATH, read_headers(headers))

    @property
    def retried(self) -> frozenset[int]:
        """The specification's table "OTLP/HTTP Response", "Retryable Response Codes"."""
        return _RETRIED

    def message(self, endpoint: str, requests: Sequence[RecordedRequest]) -> Message:
        """One request with a span for each."""
        resource = Resource(attributes=[_text("service.name", endpoint), _text("service.namespace", "bankmlops")])
        scope = InstrumentationScope(name="bankmlops.scoring", version=__version__)
        spans = ScopeSpans(scope=scope, spans=map(_span, requests))
        body = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[spans])])
        headers = {**self.headers, "Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        return Message(self.address, headers, gzip.compress(body.SerializeToString(), mtime=0))

    def verdict(self, body: bytes) -> Verdict:
        """Spans that were refused are refused for good: the specification has them not sent again."""
        try:
            partial = ExportTraceServiceResponse.FromString(body).partial_success
        except DecodeError as error:
            raise ValueError("the answer is no ExportTraceServiceResponse") from error
        return Verdict(partial.rejected_spans, partial.error_message)


def read_headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, the values percent-encoded. Raises `InvalidRequestError`, which quotes none of it."""
    headers = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = (part.strip() for part in pair.partition("="))
        decoded = unquote(value)
        if not separator or not name.isascii() or not name or not decoded.isascii() or not decoded.isprintable():
            raise InvalidRequestError(f"{HEADERS_VARIABLE} is not of the form name=value,name=value")
        headers[name] = decoded
    return headers


def _span(request: RecordedRequest) -> Span:
    started = round(request.timestamp.timestamp() * 1e6) * 1000
    failed = request.status >= 500
    return Span(
        trace_id=bytes.fromhex(request.trace_id),
        span_id=bytes.fromhex(request.span_id),
        parent_span_id=bytes.fromhex(request.parent_id),
        name=request.name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=started,
        end_time_unix_nano=started + round(request.duration_ms * 1e6),
        attributes=_attributes(request),
        status=Status(code=Status.STATUS_CODE_ERROR, message=request.error) if failed else Status(),
    )


def _attributes(request: RecordedRequest) -> list[KeyValue]:
    attributes = [
        _text("http.request.method", request.method),
        _text("url.path", request.path),
        _number("http.response.status_code", request.status),
        _number("http.request.body.size", request.request_bytes),
        _text("bankmlops.request_id", request.request_id),
        _text("bankmlops.model", request.model),
        _number("bankmlops.rows", request.rows),
        KeyValue(key="bankmlops.exec_ms", value=AnyValue(double_value=request.exec_ms)),
    ]
    given = {
        "bankmlops.key": request.key,
        "bankmlops.client_request_id": request.client_request_id,
        "bankmlops.error": request.error,
        "error.type": str(request.status) if request.status >= 500 else "",
    }
    return attributes + [_text(name, value) for name, value in given.items() if value]


def _text(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))


def _number(name: str, value: int) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(int_value=value))
