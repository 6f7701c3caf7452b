"""What stands before each service's process, as ACI's proxy does: checks keys, bounds requests, passes them on, writes the log.

The process never sees a key: the `Authorization` header ends here.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bankmlops.emulator.instance import Emulator
from bankmlops.emulator.services import deployments, service_log
from bankmlops.emulator.state import Document, Documents
from bankmlops.emulator.web.routing import Router
from bankmlops.emulator.web.wire import EmulatorState
from bankmlops.errors import NotFoundError

if TYPE_CHECKING:
    import httpx

router = Router(prefix="/aci/{workspace_id}/{name}")

SCORING_SECONDS = 60.0
MAX_BODY_BYTES = 64 << 20
_HOST = "127.0.0.1"
_REQUEST_HEADERS = ("content-type", "accept", "x-request-id", "x-ms-request-id", "x-ms-client-request-id", "traceid")
_RESPONSE_HEADERS = (
    "content-type",
    "traceid",
    "x-ms-client-request-id",
    "x-ms-request-id",
    "x-ms-run-fn-exec-ms",
    "x-ms-run-function-failed",
    "x-ms-server-version",
    "x-request-id",
)
_SWAGGER_PATHS = ("/", "/score")
_clients: WeakKeyDictionary[Emulator, httpx.AsyncClient] = WeakKeyDictionary()


@router.get("")
@router.get("/")
async def health(workspace_id: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """`Healthy`, without a key."""
    return await _pass_on(emulator, workspace_id, name, request, "/")


@router.route("/score", ["GET", "POST", "OPTIONS"])
async def score(workspace_id: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """The answer of the user's `run()`; 401 without a key where the service wants one."""
    documents = Documents(emulator.store, workspace_id)
    service = _service(documents, name)
    begin = time.perf_counter()
    if service["authEnabled"] and not _is_opened_by(documents, name, request.headers.get("authorization", "")):
        response: Response = PlainTextResponse("Unauthorized: send a key of the service as a bearer token", 401)
    else:
        response = await _pass_on(emulator, workspace_id, name, request, "/score")
    log = emulator.folder / "services" / workspace_id / name / deployments.LOG_NAME
    _write_log(log, service, request.method, response, time.perf_counter() - begin)
    return response


@router.get("/swagger.json")
async def swagger(workspace_id: str, name: str, request: Request, emulator: EmulatorState) -> Response:
    """The service's description as its server makes it out of the scoring script, with the address that it has here."""
    response = await _pass_on(emulator, workspace_id, name, request, "/swagger.json?version=2")
    if response.status_code != 200:
        return response
    document = json.loads(bytes(response.body))
    document["host"] = request.headers.get("host", "")
    document["basePath"] = f"/aci/{workspace_id}/{name}"
    document["schemes"] = ["http"]
    document["paths"] = {path: entry for path, entry in document["paths"].items() if path in _SWAGGER_PATHS}
    return JSONResponse(document)


def _service(documents: Documents, name: str) -> Document:
    service = documents.get("service", name)
    if service is None:
        raise NotFoundError(f"there is no service {name} here")
    return service


def _is_opened_by(documents: Documents, name: str, authorization: str) -> bool:
    scheme, _, key = authorization.partition(" ")
    keys = documents.get("service_keys", name) or {}
    # Both are compared, whatever the first comparison says, so that the time tells nothing.
    fits = [hmac.compare_digest(str(keys.get(member, "")).encode(), key.encode()) for member in deployments.KEY_NAMES]
    return scheme.lower() == "bearer" and bool(key) and any(fits)


async def _pass_on(emulator: Emulator, workspace_id: str, name: str, request: Request, path: str) -> Response:
    documents = Documents(emulator.store, workspace_id)
    _service(documents, name)
    port = deployments.port_of(documents, name)
    if port is None:
        return PlainTextResponse("the service is not ready", 503, headers={"Retry-After": "1"})
    body = await _bounded_body(request)
    if body is None:
        return PlainTextResponse(f"a request may have {MAX_BODY_BYTES} bytes at most", 413)
    headers = {header: request.headers[header] for header in _REQUEST_HEADERS if header in request.headers}
    return await _ask(_client(emulator), request.method, f"http://{_HOST}:{port}{path}", body, headers)


async def _ask(client: httpx.AsyncClient, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
    import httpx

    try:
        answer = await client.request(method, url, content=body, headers=headers, timeout=SCORING_SECONDS)
    except httpx.TimeoutException:
        return PlainTextResponse(f"the service did not answer within {SCORING_SECONDS:.0f} s", 504)
    except httpx.HTTPError:
        return PlainTextResponse("the service's process did not answer", 502)
    kept = {header: answer.headers[header] for header in _RESPONSE_HEADERS if header in answer.headers}
    return Response(answer.content, answer.status_code, headers=kept)


async def _bounded_body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _client(emulator: Emulator) -> httpx.AsyncClient:
    """One client for all services of an emulator: making one costs more than a request."""
    if emulator not in _clients:
        import httpx

        _clients[emulator] = httpx.AsyncClient(trust_env=False, verify=False)  # noqa: S501 - no TLS
    return _clients[emulator]


def _write_log(log: Path, service: Document, method: str, response: Response, seconds: float) -> None:
    milliseconds = seconds * 1000
    lines = [f"{method} /score {response.status_code} {milliseconds:.1f} ms {len(response.body)} bytes"]
    if service["appInsightsEnabled"]:
        telemetry = {
            "name": f"{method} /score",
            "resultCode": response.status_code,
            "success": response.status_code < 400,
            "durationMs": round(milliseconds, 3),
        }
        lines.append(f"AppInsights request {json.dumps(telemetry)}")
    try:
        for line in lines:
            service_log.append(log, service_log.stamped(line))
    except FileNotFoundError:
        return  # the service was deleted meanwhile
