"""How a browser comes to a session, for a page that must not hold a token, and leaves it.

`bankmlops ui` asks for a one-time code (`POST /session/codes`, with a token) and opens `/ui#code=CODE`. The page posts
`{"Code": CODE}` to `/session`, without a token, and takes the code out of the address bar; whoever has a token can post that
instead. Either answers 204 with an HttpOnly, SameSite=Strict cookie, which opens what the token opens, as long as it lives.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from bankmlops.local.control.guard import error_response, session_cookie, session_secret
from bankmlops.local.control.sessions import CODE_SECONDS, SESSION_SECONDS, Sessions


class CodeShown(BaseModel):
    """The body of `POST /session` where no token is sent."""

    model_config = ConfigDict(extra="forbid")
    Code: Annotated[str, Field(max_length=100)] = ""


def session_router(sessions: Sessions) -> APIRouter:
    """The routes under `/session`."""
    router = APIRouter()

    def issue_code(request: Request) -> Response:
        """A code for the caller's browser."""
        code = sessions.issue_code(request.state.caller.token_id)
        return JSONResponse({"Code": code, "ExpiresInSeconds": int(CODE_SECONDS)})

    def open_session(request: Request, body: CodeShown | None = None) -> Response:
        """A session of the caller, or of whoever had the code made."""
        caller = request.state.caller
        token_id = caller.token_id if caller else sessions.redeem_code(body.Code if body else "")
        if token_id is None:
            return error_response(401, "Unauthorized", "the code is unknown, used or too old; `bankmlops ui` makes another")
        return _with_cookie(request, sessions.open(token_id), int(SESSION_SECONDS))

    def close_session(request: Request) -> Response:
        """The end of the session whose cookie was sent."""
        sessions.close(session_secret(request.headers))
        return _with_cookie(request, "", 0)

    router.add_api_route("/session/codes", issue_code, methods=["POST"], response_model=None)
    router.add_api_route("/session", open_session, methods=["POST"], response_model=None)
    router.add_api_route("/session", close_session, methods=["DELETE"], response_model=None)
    return router


def _with_cookie(request: Request, secret: str, seconds: int) -> Response:
    response = Response(status_code=204)
    response.set_cookie(session_cookie(request.headers), secret, max_age=seconds, path="/", httponly=True, samesite="strict")
    return response
