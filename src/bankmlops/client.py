"""Plain HTTP against any endpoint, on this machine or in the cloud: score, swagger, health, and the trigger of a pipeline.

Every request is bounded in time and in the size of its answer, no redirect is followed (a key must not wander), and what goes
wrong is put into this package's errors here and nowhere else. No message holds a key.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import math
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypedDict

import httpx

from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)

CONNECT_SECONDS = 10.0
TOTAL_SECONDS = 120.0
MAXIMUM_BYTES = 32 * 2**20
MAXIMUM_MESSAGE = 400
_BY_STATUS: dict[int, type[BankMLOpsError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    408: BackendUnavailableError,
    409: ConflictError,
    429: BackendUnavailableError,
}
_SCALARS: Mapping[str, Callable[[Any], object]] = {"b": bool, "i": int, "u": int, "f": float}  # by NumPy's letter of their kind


class SessionOptions(TypedDict):
    """Whose proxies count, and whose certificates."""

    trust_env: bool
    verify: bool | ssl.SSLContext


def score(scoring_uri: str, key: str | None, rows: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """One label a row. `key` is None for an endpoint without authentication.

    Values are what `encode` takes. Raises `AuthenticationError`, `NotFoundError`, `InvalidRequestError` (with row and column,
    or the endpoint's own words) or `BackendUnavailableError`.
    """
    answer = score_document(scoring_uri, key, {"data": list(rows)})
    result = answer.get("result") if isinstance(answer, dict) else answer
    if not isinstance(result, list) or len(result) != len(rows):
        raise BackendUnavailableError(f"{scoring_uri} answered something else than {len(rows)} labels")
    return tuple(str(label) for label in result)


def score_document(scoring_uri: str, key: str | None, document: Mapping[str, object]) -> Any:
    """What the endpoint answers to a request document; Azure's answer, a JSON string that holds JSON, is decoded.

    Raises as `score` does.
    """
    body = encode(document)
    answer = _json(scoring_uri, _send("POST", scoring_uri, bearer(key), body))
    if isinstance(answer, str):
        answer = _inner(answer)
    if isinstance(answer, dict) and set(answer) == {"error"}:  # AutoML's scoring file answers its errors with HTTP 200
        raise InvalidRequestError(f"{scoring_uri}: {_one_line(str(answer['error']), key)}")
    return answer


def swagger(swagger_uri: str, key: str | None = None) -> dict[str, Any]:
    """The endpoint's description of itself. Raises `NotFoundError`, `AuthenticationError` or `BackendUnavailableError`."""
    document = _json(swagger_uri, _send("GET", swagger_uri, bearer(key)))
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise BackendUnavailableError(f"{swagger_uri} answered no swagger document")
    return document


def input_columns(document: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a row that the endpoint takes, each with its Swagger type, from `swagger`; empty where it doesn't say."""
    definitions = document.get("definitions")
    schema = definitions.get("ServiceInput") if isinstance(definitions, dict) else None
    properties = next(_row_properties(schema, depth=8), {})
    return {name: str(kind.get("type", "")) for name, kind in properties.items() if isinstance(kind, dict)}


def example_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the example in `swagger`. Raises `NotFoundError` where it gives none."""
    definitions = document.get("definitions")
    schema = definitions.get("ServiceInput") if isinstance(definitions, dict) else None
    example = schema.get("example") if isinstance(schema, dict) else None
    inputs = example.get("Inputs", example) if isinstance(example, dict) else None
    rows = inputs.get("data") if isinstance(inputs, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise NotFoundError("the endpoint's swagger gives no example row; name a file of rows")
    return rows


def trigger(
    endpoint: str,
    header: Mapping[str, str],
    experiment_name: str,
    parameters: Mapping[str, str | int | float | bool] | None = None,
    idempotency_key: str | None = None,
) -> str:
    """Start a run of a published pipeline over REST, with these parameters, and answer its id; the same key is the same run.

    `header` is a backend's `authorization_header`; Azure knows no idempotency key. Raises `AuthenticationError`, `NotFoundError`,
    `ConflictError` (disabled), `InvalidRequestError` for a parameter or a key, or `BackendUnavailableError`.
    """
    body = {"ExperimentName": experiment_name, **({"ParameterAssignments": dict(parameters)} if parameters else {})}
    answer = _json(endpoint, _send("POST", endpoint, {**header, **_idempotency(idempotency_key)}, encode(body)))
    run_id = answer.get("Id") if isinstance(answer, dict) else None
    if not isinstance(run_id, str) or not run_id:
        raise BackendUnavailableError(f"{endpoint} answered no run id")
    return run_id


def page_address(base_url: str, header: Mapping[str, str]) -> str:
    """The address of the control server's page at `base_url`, with a code that signs a browser in once, within a minute.

    `header` is a backend's `authorization_header`. Raises as `trigger` does.
    """
    address = f"{base_url}/session/codes"
    answer = _json(address, _send("POST", address, header, encode({})))
    code = answer.get("Code") if isinstance(answer, dict) else None
    if not isinstance(code, str) or not code:
        raise BackendUnavailableError(f"{address} answered no code")
    return f"{base_url}/ui#code={code}"


def _idempotency(key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    if not re.fullmatch(r"[!-~]{1,255}", key):
        raise InvalidRequestError("an idempotency key is 1 to 255 printable ASCII characters without a space")
    return {"Idempotency-Key": key}


def bearer(key: str | None) -> dict[str, str]:
    """The header that carries a key; none without a key. Raises `InvalidRequestError` for a key that no header can hold."""
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not key.strip():
        raise InvalidRequestError("the key can't be sent: a key is printable ASCII without line breaks")
    return {"Authorization": f"Bearer {key}"}


def encode(document: Mapping[str, object]) -> bytes:
    """A request's JSON: NumPy's scalars and decimals are numbers or true or false, dates and times their ISO 8601 text.

    Raises `InvalidRequestError` for what JSON does not have, NaN and infinity among it; in `data` with row (from 0) and column.
    """
    try:
        return _written(document).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(_located(document) or f"the request can't be sent: {_reason(error)}") from error


def _written(value: object) -> str:
    return json.dumps(value, allow_nan=False, default=_as_json)


def _as_json(value: object) -> object:
    """What stands for a value that Python's encoder doesn't know. NumPy's are told by what they have: it need not be here."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat() if value == value else math.nan  # noqa: PLR0124 (pandas' NaT is a date)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    scalar = _SCALARS.get(value.dtype.kind) if getattr(value, "shape", None) == () and hasattr(value, "dtype") else None
    if scalar is None:
        raise TypeError(f"a value of type {type(value).__name__} where a text, a number, true, false or null would serve")
    return scalar(value)


def _located(document: Mapping[str, object]) -> str:
    """The first value of the rows that can't be written, and why; empty where there is none."""
    rows = document.get("data")
    for index, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
        for name, value in row.items() if isinstance(row, Mapping) else ():
            try:
                _written(value)
            except (TypeError, ValueError) as error:
                return f"row {index}, column {name!r}: {_reason(error)}"
    return ""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, TypeError) else "NaN or infinity, which JSON does not have; null would serve"


def trusts_environment(url: str) -> bool:
    """Whether the proxies and certificates of the environment count for this address: not on this machine."""
    host = httpx.URL(url).host
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and not host.endswith(".localhost")


def session_options(url: str) -> SessionOptions:
    """What an httpx client for this address is made with.

    Certificates are loaded where TLS is spoken: they cost most of a call.
    """
    tls = url.lower().startswith("https:")
    return {"trust_env": trusts_environment(url), "verify": True if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise httpx's errors as ours."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise InvalidRequestError(f"{url!r} is no address that can be called; http://host/path would serve") from error
    except httpx.TimeoutException as error:
        raise BackendUnavailableError(f"{url} did not answer in time") from error
    except httpx.HTTPError as error:
        reason = _one_line(str(error), None) or type(error).__name__
        raise BackendUnavailableError(f"{url} does not answer: {reason}") from error


def _send(method: str, url: str, header: Mapping[str, str], body: bytes | None = None) -> bytes:
    """The answer's body. Raises one of this package's errors for every answer but a success."""
    headers = {"Accept": "application/json", **header}
    if body is not None:
        headers["Content-Type"] = "application/json"
    timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
    with (
        translated(url),
        httpx.Client(timeout=timeout, **session_options(url)) as client,
        client.stream(method, url, headers=headers, content=body) as response,
    ):
        content = _read(url, response)
    if not response.is_success:
        raise refusal(url, response.status_code, content, header.get("Authorization"))
    return content


def _read(url: str, response: httpx.Response) -> bytes:
    deadline = time.monotonic() + TOTAL_SECONDS
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAXIMUM_BYTES:
            raise BackendUnavailableError(f"{url} answered more than {MAXIMUM_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise BackendUnavailableError(f"{url} did not answer within {TOTAL_SECONDS:.0f} s")
    return bytes(content)


def refusal(url: str, status: int, content: bytes, authorization: str | None) -> BankMLOpsError:
    """The error for an HTTP status that is no success, with the server's own message and never with the credentials."""
    kind = _BY_STATUS.get(status, InvalidRequestError if 400 <= status < 500 else BackendUnavailableError)
    secret = (authorization or "").removeprefix("Bearer ") or None
    message = _one_line(_message(content), secret)
    return kind(f"{url}: {message} (HTTP {status})" if message else f"{url} answered HTTP {status}")


def _message(content: bytes) -> str:
    """The words of an error: `message`, at the top or inside `error`, or the text itself."""
    text = content[:16_384].decode(errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith("<") else text  # a gateway's page of HTML tells a terminal nothing
    inner = document.get("error", document) if isinstance(document, dict) else document
    return str(inner.get("message", "")) if isinstance(inner, dict) else str(inner)


def _one_line(text: str, secret: str | None) -> str:
    if secret:
        text = text.replace(secret, "***")
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= MAXIMUM_MESSAGE else f"{line[: MAXIMUM_MESSAGE - 3]}..."


def _json(url: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BackendUnavailableError(f"{url} answered something that is not JSON") from error


def _inner(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _row_properties(schema: object, depth: int) -> Iterator[dict[str, Any]]:
    """The properties of each array of objects in a schema: scoring files wrap the rows in "data", or in "Inputs" and "data"."""
    if not isinstance(schema, dict) or depth == 0:
        return
    items = schema.get("items")
    if isinstance(items, dict) and isinstance(items.get("properties"), dict):
        yield items["properties"]
    properties = schema.get("properties")
    for inner in properties.values() if isinstance(properties, dict) else ():
        yield from _row_properties(inner, depth - 1)
