"""The project's errors as Azure's answers, so that the SDK raises what it would raise in the cloud."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse

from bankmlops.errors import (
    AuthenticationError,
    BackendUnavailableError,
    BankMLOpsError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)

_STATUS_AND_CODE: dict[type[BankMLOpsError], tuple[int, str]] = {
    AuthenticationError: (401, "UserError"),
    NotFoundError: (404, "NotFound"),
    ConflictError: (409, "Conflict"),
    InvalidRequestError: (400, "BadArgument"),
    BackendUnavailableError: (503, "ServiceUnavailable"),
}


def azure_error(status: int, code: str, message: str) -> JSONResponse:
    """Azure's error document, good for ARM and the services behind it.

    Model management's clients read its top level, the pipeline service's the names in PascalCase.
    """
    document = {
        "statusCode": status,
        "code": code,
        "message": message,
        "error": {"code": code, "message": message, "details": [], "innerError": {"code": code}},
        "Error": {"Code": code, "Message": message},
        "correlation": {"operation": "", "request": ""},
        "environment": "emulator",
        "location": "emulator",
        "time": datetime.now(UTC).isoformat(),
    }
    return JSONResponse(document, status)


async def answer_error(_request: Request, error: Exception) -> JSONResponse:
    """The exception handler for `BankMLOpsError`: 401, 404, 409, 400, 503, and 500 for what has no better place."""
    status, code = _STATUS_AND_CODE.get(type(error), (500, "ServiceError"))  # type: ignore[arg-type]
    return azure_error(status, code, str(error))
