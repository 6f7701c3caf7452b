"""Routes: which function answers which method and path, and where its parameters come from.

Declared as FastAPI's are, but without models, of which no route here has any: to import them and to analyse every function would
take most of the time in which the emulator is to be ready. A function is looked at when its route is first called.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from bankmlops.errors import BankMLOpsError, InvalidRequestError

Endpoint = Callable[..., Any]
AnyEndpoint = TypeVar("AnyEndpoint", bound=Endpoint)
Source = Callable[[Request], Awaitable[Any]]
ErrorAnswer = Callable[[Request, Exception], Awaitable[Response]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """Marks a parameter, `Annotated[Type, Given(source)]`: what it gets is what `source` makes of the request."""

    source: Source


class Json(JSONResponse):
    """A document; a metric may be NaN, which Python's clients read and write."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


class Route:
    """One function for some methods on one path; `checks` are called before it, and raise."""

    def __init__(
        self, path: str, methods: Sequence[str], endpoint: Endpoint, checks: Sequence[Endpoint], documented: bool
    ) -> None:
        self.path = path
        self.methods = tuple(methods)
        self.endpoint = endpoint
        self.documented = documented
        self.checks = checks
        self._beginning = path.partition("{")[0]
        self.first_segment = _first_segment(path) if "{" not in _first_segment(path) else ""

    def matches(self, method: str, path: str) -> dict[str, str] | None:
        """The path's parameters; None where it is another path or method."""
        if method not in self.methods or not path.startswith(self._beginning):
            return None
        found = self._pattern.match(path)
        return found.groupdict() if found else None

    async def answer(self, request: Request) -> Response:
        """Call the checks and the function, and make a response of what it answers."""
        for call in self._calls[:-1]:
            await call(request)
        answer = await self._calls[-1](request)
        return answer if isinstance(answer, Response) else Json(answer)

    @cached_property
    def _pattern(self) -> Any:
        return compile_path(self.path)[0]

    @cached_property
    def _calls(self) -> list[Source]:
        names = set(compile_path(self.path)[2])
        return [_call(function, names) for function in (*self.checks, self.endpoint)]


@dataclass(slots=True)
class Router:
    """The routes of one service, all below `prefix`; those of an undocumented one are Azure's no more than the emulator's own."""

    prefix: str = ""
    checks: Sequence[Endpoint] = ()
    documented: bool = True
    routes: list[Route] = field(default_factory=list)

    def route(self, path: str, methods: Sequence[str]) -> Callable[[AnyEndpoint], AnyEndpoint]:
        """Have the decorated function answer; it may stand on several routes."""

        def register(endpoint: AnyEndpoint) -> AnyEndpoint:
            self.routes.append(Route(self.prefix + path, methods, endpoint, self.checks, self.documented))
            return endpoint

        return register

    def with_check(self, check: Endpoint) -> Router:
        """The same routes, with `check` called before each."""
        routes = [Route(each.path, each.methods, each.endpoint, [check, *each.checks], each.documented) for each in self.routes]
        return Router(self.prefix, [check, *self.checks], self.documented, routes)

    def get(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["GET"])

    def head(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["HEAD"])

    def post(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["POST"])

    def put(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["PUT"])

    def patch(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["PATCH"])

    def delete(self, path: str) -> Callable[[AnyEndpoint], AnyEndpoint]:
        return self.route(path, ["DELETE"])


class Application:
    """ASGI: the first route that matches answers; what it raises becomes an answer too. The last router should match all."""

    def __init__(self, routers: Sequence[Router], state: object, answer_error: ErrorAnswer) -> None:
        routes = [route for router in routers for route in router.routes]
        begun = {route.first_segment for route in routes}
        self._routes = {first: [route for route in routes if route.first_segment in (first, "")] for first in begun | {""}}
        self._state = state
        self._answer_error = answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the emulator does not speak {scope['type']}")
        request = Request({**scope, "state": {"emulator": self._state}}, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return  # there is nobody to answer
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method, path = request.method, request.scope["path"]
        for route in self._routes.get(_first_segment(path), self._routes[""]):
            parameters = route.matches(method, path)
            if parameters is not None:
                request.scope["path_params"] = parameters
                return await self._try(route, request)
        return Response(status_code=404)

    async def _try(self, route: Route, request: Request) -> Response:
        try:
            return await route.answer(request)
        except BankMLOpsError as error:
            return await self._answer_error(request, error)
        except ClientDisconnect:
            raise
        except Exception as error:
            logger.exception("%s %s", request.method, without_secret(request.scope["path"]))
            return await self._answer_error(request, error)


def without_secret(path: str) -> str:
    """The path as it may be written down: the managed-identity endpoint's bears a secret."""
    return re.sub(r"^/msi/[^/]*", "/msi/...", path)


def _first_segment(path: str) -> str:
    return path.removeprefix("/").partition("/")[0]


def _call(function: Endpoint, path_names: set[str]) -> Source:
    """The function as one of the request alone."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    sources = {name: _source(name, hints[name], parameters[name].default, path_names) for name in parameters}
    is_async = inspect.iscoroutinefunction(function)

    async def call(request: Request) -> Any:
        given = {name: await source(request) for name, source in sources.items()}
        if is_async:
            return await function(**given)
        return await run_in_threadpool(function, **given)

    return call


def _source(name: str, hint: Any, default: Any, path_names: set[str]) -> Source:
    if hint is Request:
        return _request
    if get_origin(hint) is Annotated:
        return next(part.source for part in get_args(hint) if isinstance(part, Given))
    if name in path_names:
        return _from_path(name)
    return _from_query(name, hint, default)


async def _request(request: Request) -> Request:
    return request


def _from_path(name: str) -> Source:
    async def source(request: Request) -> str:
        return str(request.path_params[name])

    return source


def _from_query(name: str, kind: type, default: Any) -> Source:
    async def source(request: Request) -> Any:
        text = request.query_params.get(name)
        if text is None:
            if default is inspect.Parameter.empty:
                raise InvalidRequestError(f"{request.method} {request.url.path}: the query lacks {name}")
            return default
        return _converted(name, text, kind)

    return source


def _converted(name: str, text: str, kind: type) -> Any:
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind is int and text.removeprefix("-").isdecimal():
        return int(text)
    if kind is str:
        return text
    raise InvalidRequestError(f"{name}={text[:100]!r} in the query is no {kind.__name__}")
