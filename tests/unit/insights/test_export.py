"""What an endpoint recorded reaches an OTLP receiver and Application Insights, each request, whatever fails meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bankmlops.errors import AuthenticationError, BackendUnavailableError, InvalidRequestError
from bankmlops.insights import export
from bankmlops.insights.application_insights import ApplicationInsights
from bankmlops.insights.destination import Destination
from bankmlops.insights.export import Exported, Exporter
from bankmlops.insights.otlp import Otlp, read_headers
from bankmlops.insights.recorded import Mark, is_lost, read_after
from bankmlops.insights.sending import ATTEMPTS, Sender
from bankmlops.types import Endpoint, EndpointState
from support.memory_backend import MemoryBackend
from support.recorded_telemetry import write_telemetry
from support.telemetry_receiver import Answer, Receiver, receiving

KEY = "0a1b2c3d-0000-1111-2222-333344445555"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = Endpoint("bank-endpoint", EndpointState.HEALTHY, "http://x/score", "", "process", "bank", "2")
Command = Callable[..., Any]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def recorded(tmp_path: Path) -> MemoryBackend:
    """An endpoint with a hundred requests, the second of them with a caller's trace."""
    file = write_telemetry(tmp_path / "telemetry.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"traceparent":""', f'"traceparent":"{TRACE}"')
    file.write_text("".join(lines))
    backend = MemoryBackend()
    backend.endpoints["bank-endpoint"] = replace(ENDPOINT, app_insights=True)
    backend.telemetry = [file]
    return backend


class Exporting:
    """Exports without waiting, and says how long it would have waited."""

    def __init__(self, backend: MemoryBackend, destination: Destination, folder: Path) -> None:
        self.pauses: list[float] = []
        self._backend, self._destination, self._folder = backend, destination, folder

    def __call__(self) -> Exported:
        with httpx.Client(trust_env=False) as client:
            sender = Sender(self._destination, client, self.pauses.append)
            return Exporter(self._backend, "bank-endpoint", self._destination, sender, self._folder).export()


def _attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_spans(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """Each request is a span of the endpoint's service, with its times, its attributes, and its caller's trace."""
    done = Exporting(recorded, Otlp.at(receiver.url, "api-key=se%20cret"), tmp_path / "state")()
    assert (done.sent, done.refused, done.gap) == (100, 0, False)
    (message,) = receiver.received
    assert (message.path, message.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
    assert message.headers["api-key"] == "se cret"
    (resource,) = ExportTraceServiceRequest.FromString(message.body).resource_spans
    assert resource.resource.attributes[0].value.string_value == "bank-endpoint"
    spans = receiver.spans()
    first, second, failed = spans[1], spans[2], spans[5]
    assert (first.name, first.kind, first.trace_id.hex(), first.parent_span_id.hex()) == (
        "POST /score", Span.SPAN_KIND_SERVER, TRACE[3:35], TRACE[36:52],
    )  # fmt: skip
    assert second.parent_span_id == b""
    assert (second.start_time_unix_nano, second.end_time_unix_nano) == (1_000_000_002_000_000_000, 1_000_000_002_003_000_000)
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == 100
    attributes = _attributes(failed)
    assert (failed.status.code, attributes["http.response.status_code"], attributes["error.type"]) == (
        Status.STATUS_CODE_ERROR, 500, "500",
    )  # fmt: skip
    assert (attributes["bankmlops.rows"], attributes["bankmlops.model"]) == (2, "bank:1")


def test_each_once(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next export goes on where the last one ended, in batches, also behind a file that was rotated meanwhile."""
    monkeypatch.setattr(export, "MAXIMUM_TOGETHER", 30)
    exporting = Exporting(recorded, Otlp.at(receiver.url), tmp_path / "state")
    assert exporting().sent == 100
    assert len(receiver.received) == 4
    assert exporting().sent == 0
    (old,) = recorded.telemetry
    more = write_telemetry(tmp_path / "more.jsonl", 7).read_text().replace('"id-', '"more-')
    old.write_text(old.read_text().rpartition("\n")[0] + "\n" + more.rpartition("\n")[0] + "\n")
    rotated = old.rename(tmp_path / "telemetry.1.jsonl")
    new = write_telemetry(tmp_path / "telemetry.jsonl", 3)
    new.write_text(new.read_text().replace('"id-', '"new-'))
    recorded.telemetry = [rotated, new]
    assert exporting().sent == 10
    assert len({span.span_id for span in receiver.spans()}) == 110
    (state,) = (tmp_path / "state").iterdir()
    assert state.stat().st_mode & 0o777 == 0o600


def test_gap(tmp_path: Path) -> None:
    """A file that is gone with what was not sent is told of, and the files that are there are read from their beginning."""
    file = write_telemetry(tmp_path / "telemetry.jsonl", 5)
    requests, mark = read_after([file], Mark(), 3)
    assert [request.request_id for request in requests] == ["id-0", "id-1", "id-2"]
    assert not is_lost([file], mark)
    file.write_text(write_telemetry(tmp_path / "other.jsonl", 4).read_text().replace('"id-', '"new-'))
    assert is_lost([file], mark)
    assert [request.request_id for request in read_after([file], mark, 10)[0]] == ["new-0", "new-1", "new-2", "new-3"]


def test_line_that_is_no_record(tmp_path: Path) -> None:
    """A broken line is passed over; one that is being written is read once it is whole; no line at all is no request."""
    file = write_telemetry(tmp_path / "telemetry.jsonl", 2)
    whole = file.read_text().rpartition("\n")[0] + "\n"
    file.write_text(f'{whole}{{"timestamp": "now"}}\n[]\n{whole[:20]}')
    requests, mark = read_after([file], Mark(), 10)
    assert len(requests) == 2
    file.write_text(f'{whole}{{"timestamp": "now"}}\n[]\n{whole}')
    assert len(read_after([file], mark, 10)[0]) == 2
    file.write_text("")
    assert read_after([file], Mark(), 10) == ([], Mark())


def test_again_after_what_passes(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """A receiver that has no time is asked again, later each time and as it says; nothing is lost or refused by that."""
    receiver.answers = [Answer(503), Answer(429, retry_after="7"), Answer(502)]
    exporting = Exporting(recorded, Otlp.at(receiver.url), tmp_path)
    assert exporting().sent == 100
    assert exporting.pauses == [1.0, 7.0, 4.0]
    assert len({message.body for message in receiver.received}) == 1


def test_receiver_that_is_away(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """One that never takes anything is an error after a bounded number of attempts, and everything is sent the next time."""
    receiver.usual = Answer(503)
    exporting = Exporting(recorded, Otlp.at(receiver.url), tmp_path)
    with pytest.raises(BackendUnavailableError, match="does not take what is sent"):
        exporting()
    assert len(receiver.received) == ATTEMPTS
    receiver.usual = Answer()
    assert exporting().sent == 100


def test_partial_success(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """Spans that the receiver refuses are counted and not sent again."""
    partial = ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    receiver.answers = [Answer(200, ExportTraceServiceResponse(partial_success=partial).SerializeToString())]
    assert Exporting(recorded, Otlp.at(receiver.url), tmp_path)() == Exported(100, 3, "too old")
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(401), AuthenticationError, "401: it wants another key"),
        (Answer(404), InvalidRequestError, "404; check the address"),
        (Answer(200, b"<html>"), InvalidRequestError, "no such receiver"),
        (Answer(200, b"x" * 300_000), InvalidRequestError, "no such receiver"),
    ],
)
def test_no_receiver(
    recorded: MemoryBackend, receiver: Receiver, tmp_path: Path, answer: Answer, error: type[Exception], message: str
) -> None:
    """What won't pass is one line at once, without the key."""
    receiver.usual = answer
    with pytest.raises(error, match=message) as raised:
        Exporting(recorded, Otlp.at(receiver.url, "api-key=secret"), tmp_path)()
    assert "secret" not in str(raised.value)
    assert len(receiver.received) == 1


def test_envelopes(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """Application Insights gets a request envelope for each, under the resource's key, which no repr holds."""
    destination = ApplicationInsights.of(f"InstrumentationKey={KEY};IngestionEndpoint={receiver.url}/;LiveEndpoint=https://x/")
    receiver.usual = Answer(200, b'{"itemsReceived":100,"itemsAccepted":100,"errors":[]}')
    assert Exporting(recorded, destination, tmp_path)().sent == 100
    (message,) = receiver.received
    assert (message.path, message.headers["content-type"]) == ("/v2.1/track", "application/json")
    envelopes = json.loads(message.body)
    traced, failed = envelopes[1], envelopes[5]
    assert (traced["iKey"], traced["data"]["baseType"]) == (KEY, "RequestData")
    assert (traced["tags"]["ai.operation.id"], traced["tags"]["ai.operation.parentId"]) == (TRACE[3:35], TRACE[36:52])
    assert (traced["time"], traced["data"]["baseData"]["duration"]) == ("2001-09-09T01:46:41.000000Z", "0.00:00:00.002000")
    assert (failed["data"]["baseData"]["success"], failed["data"]["baseData"]["responseCode"]) == (False, "500")
    assert KEY not in repr(destination)


def test_items_again(recorded: MemoryBackend, receiver: Receiver, tmp_path: Path) -> None:
    """Of a batch that was taken in part, what had no room is sent again, and what is wrong is not."""
    errors = [{"index": 4, "statusCode": 429, "message": ""}, {"index": 7, "statusCode": 400, "message": "too old"}]
    receiver.answers = [Answer(206, json.dumps({"itemsReceived": 100, "itemsAccepted": 98, "errors": errors}).encode())]
    receiver.usual = Answer(200, b'{"errors":[]}')
    destination = ApplicationInsights.of(f"IngestionEndpoint={receiver.url};InstrumentationKey={KEY}")
    assert Exporting(recorded, destination, tmp_path)() == Exported(100, 1, "too old")
    first, second = (json.loads(message.body) for message in receiver.received)
    assert second == [first[4]]


@pytest.mark.parametrize(
    "url", ["", "collector:4318", "ftp://host", "http://", "http://user:hidden@host", "http://host/?key=hidden", "http://h:port"]
)
def test_bad_address(url: str) -> None:
    """An address that can't serve, or that has a secret in it, is refused in a line without it."""
    with pytest.raises(InvalidRequestError, match="--otlp: ") as raised:
        Otlp.at(url)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("text", ["secret", "=secret", "a=secret\n", "\u00e4=secret"])
def test_bad_headers(text: str) -> None:
    """Headers that are none are refused without being quoted."""
    with pytest.raises(InvalidRequestError, match="name=value") as raised:
        read_headers(text.replace("\n", "%0A"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "InstrumentationKey=secret", f"InstrumentationKey={KEY};IngestionEndpoint=ftp://x"])
def test_bad_connection_string(text: str) -> None:
    """A connection string that is none is refused without being quoted."""
    with pytest.raises(InvalidRequestError, match="APPLICATIONINSIGHTS_CONNECTION_STRING") as raised:
        ApplicationInsights.of(text)
    assert "secret" not in str(raised.value)
    assert KEY not in str(raised.value)
