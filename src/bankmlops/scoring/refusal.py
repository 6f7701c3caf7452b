"""Why a request is turned away, in HTTP's terms: the one place of this room that knows status codes of refusals."""

from __future__ import annotations

from bankmlops.scoring.asgi import Headers, Response, json_response


class RefusedError(Exception):
    """A request that gets no prediction. `reason` is a short word for the metrics, `message` one line for the caller."""

    def __init__(self, status: int, reason: str, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers

    def response(self) -> Response:
        """The body that Azure ML's swagger calls `ErrorResponse`."""
        answer = json_response({"status_code": self.status, "message": self.message}, self.status)
        return answer._replace(headers=answer.headers + self.headers)


class DisconnectedError(Exception):
    """The client went away before its request was whole: there is nobody to answer."""


def invalid(message: str) -> RefusedError:
    """The input is at fault."""
    return RefusedError(400, "invalid", message)


def unauthorized(message: str) -> RefusedError:
    """No key was given."""
    return RefusedError(401, "unauthorized", message, ((b"www-authenticate", b"Bearer"),))


def forbidden(message: str) -> RefusedError:
    """A key was given, and it opens nothing here."""
    return RefusedError(403, "forbidden", message)


def too_large(limit: int) -> RefusedError:
    """The body is longer than the service reads."""
    return RefusedError(413, "too_large", f"the body is larger than {limit:,} bytes: send fewer rows in a request")


def timed_out(seconds: float) -> RefusedError:
    """The work was begun, and its answer would come too late."""
    return RefusedError(503, "timeout", f"scoring took longer than {seconds:g} s: send fewer rows")


def overloaded(message: str) -> RefusedError:
    """The service has all it can carry; the caller may come again."""
    return RefusedError(503, "overloaded", message, ((b"retry-after", b"1"),))
