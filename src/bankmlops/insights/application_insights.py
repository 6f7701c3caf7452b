"""Requests as Application Insights' ingestion takes them: a list of envelopes, POSTed to `/v2.1/track` of its endpoint.

The wire is the one of Azure Monitor's "Breeze" protocol, API version 2.1, as Microsoft's own exporters speak it.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from bankmlops import __version__
from bankmlops.errors import InvalidRequestError
from bankmlops.insights.destination import Message, Verdict, checked_url
from bankmlops.insights.recorded import RecordedRequest

VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_DEFAULT_ENDPOINT = "https://dc.services.visualstudio.com"
_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LONGEST = 8192
_RETRIED = frozenset({408, 429, 439, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ApplicationInsights:
    """One resource's ingestion."""

    address: str
    key: str = field(repr=False)

    @classmethod
    def of(cls, connection_string: str) -> ApplicationInsights:
        """The one that a connection string names. Raises `InvalidRequestError`, which quotes none of it."""
        pairs = (part.partition("=") for part in connection_string.strip().split(";") if part.strip())
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        key = fields.get("instrumentationkey", "")
        if not _KEY.fullmatch(key):
            raise InvalidRequestError(f"{VARIABLE} has no InstrumentationKey; copy it from the resource's overview")
        endpoint = checked_url(fields.get("ingestionendpoint") or _DEFAULT_ENDPOINT, f"IngestionEndpoint of {VARIABLE}")
        return cls(f"{endpoint}/v2.1/track", key)

    @property
    def retried(self) -> frozenset[int]:
        """Those after which Microsoft's exporters send again; 439 says that a quota is used up for a while."""
        return _RETRIED

    def message(self, endpoint: str, requests: Sequence[RecordedRequest]) -> Message:
        """The envelopes, compressed."""
        envelopes = [self._envelope(endpoint, request) for request in requests]
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return Message(self.address, headers, gzip.compress(json.dumps(envelopes, separators=(",", ":")).encode(), mtime=0))

    def verdict(self, body: bytes) -> Verdict:
        """Items that were refused for want of time or room may be sent again, the others not."""
        document = json.loads(body)
        errors = document.get("errors", []) if isinstance(document, dict) else None
        if not isinstance(errors, list) or not all(isinstance(each, dict) for each in errors):
            raise ValueError("the answer is no TrackResponse")
        again = tuple(int(each["index"]) for each in errors if each.get("statusCode") in _RETRIED and "index" in each)
        final = [each for each in errors if each.get("statusCode") not in _RETRIED]
        return Verdict(len(final), str(final[0].get("message", ""))[:200] if final else "", again)

    def _envelope(self, endpoint: str, request: RecordedRequest) -> dict[str, Any]:
        tags = {
            "ai.operation.id": request.trace_id,
            "ai.operation.name": request.name,
            "ai.cloud.role": endpoint,
            "ai.internal.sdkVersion": f"bankmlops:{__version__}",
        }
        if request.parent_id:
            tags["ai.operation.parentId"] = request.parent_id
        return {
            "ver": 1,
            "name": "Microsoft.ApplicationInsights.Request",
            "time": request.timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "sampleRate": 100.0,
            "iKey": self.key,
            "tags": tags,
            "data": {"baseType": "RequestData", "baseData": _data(request)},
        }


def _data(request: RecordedRequest) -> dict[str, Any]:
    properties = {
        "request_id": request.request_id,
        "model": request.model,
        "key": request.key,
        "error": request.error,
        "client_request_id": request.client_request_id,
    }
    return {
        "ver": 2,
        "id": request.span_id,
        "name": request.name[:1024],
        "url": request.path[:2048],
        "duration": _duration(request.duration_ms),
        "success": request.status < 400,
        "responseCode": str(request.status),
        "properties": {name: value[:_LONGEST] for name, value in properties.items() if value},
        "measurements": {"rows": request.rows, "request_bytes": request.request_bytes, "exec_ms": request.exec_ms},
    }


def _duration(milliseconds: float) -> str:
    """Days.hours:minutes:seconds."""
    seconds, microseconds = divmod(round(milliseconds * 1000), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}.{hours:02d}:{minutes:02d}:{seconds:02d}.{microseconds:06d}"
