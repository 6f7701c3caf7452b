"""`POST /feedback` of the control server: what really happened after requests that endpoints answered.

The guard has authenticated the caller and bounded the body; what is answered 200 is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from bankmlops.backend import Backend
from bankmlops.errors import BankMLOpsError, ConflictError, InvalidRequestError, NotFoundError
from bankmlops.local.pipelines.documents import to_document
from bankmlops.types import Outcome, OutcomeReceipt

_ERRORS: dict[str, type[BankMLOpsError]] = {
    "NotFound": NotFoundError,
    "BadRequest": InvalidRequestError,
    "Conflict": ConflictError,
}


class OutcomeBody(BaseModel):
    """One row's true label."""

    model_config = ConfigDict(extra="forbid")
    request_id: Annotated[StrictStr, Field(min_length=1, max_length=100)]
    label: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    row: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0


class FeedbackBody(BaseModel):
    """The labels of an endpoint's requests."""

    model_config = ConfigDict(extra="forbid")
    endpoint: Annotated[StrictStr, Field(min_length=1, max_length=255)]
    outcomes: Annotated[list[OutcomeBody], Field(min_length=1, max_length=1000)]


def feedback_router(backend: Callable[[], Backend]) -> APIRouter:
    """The route; it answers a receipt, and the first refusal's error where nothing at all was accepted."""
    router = APIRouter()

    def record(body: FeedbackBody) -> object:
        outcomes = [Outcome(each.request_id, each.label, each.row) for each in body.outcomes]
        return to_document(_accepted(backend().record_outcomes(body.endpoint, outcomes)))

    router.add_api_route("/feedback", record, methods=["POST"], response_model=None)
    return router


def _accepted(receipt: OutcomeReceipt) -> OutcomeReceipt:
    if receipt.refused and not (receipt.stored or receipt.repeated):
        first = receipt.refusals[0]
        raise _ERRORS[first.kind](first.reason)
    return receipt
