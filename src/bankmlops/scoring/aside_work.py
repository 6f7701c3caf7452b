"""What is done in the processes beside a worker: large requests are scored, and rows are explained."""

from __future__ import annotations

import pydantic_core

from bankmlops.scoring.aside_process import Answer, Order
from bankmlops.scoring.body import parse_body
from bankmlops.scoring.collector import MAX_ROWS
from bankmlops.scoring.explainer import Explainer
from bankmlops.scoring.model import Scorer, encode_azure, encode_plain


def score(scorer: Scorer, body: bytes, order: Order) -> Answer:
    """Score with every core. Raises `RefusedError` or `InvalidRequestError`."""
    prediction = scorer.score_batch(body)
    encoded = encode_plain(prediction) if order.plain else encode_azure(prediction)
    answer = Answer(encoded, prediction.rows, prediction.exec_ms, b"", [])
    if not order.sampled:
        return answer
    first = {"data": parse_body(body, prediction.rows).rows[:MAX_ROWS]}
    return answer._replace(sample=pydantic_core.to_json(first), result=prediction.result[:MAX_ROWS])


def explain(explainer: Explainer, body: bytes, _: Order) -> Answer:
    """Raises what `Explainer.explain` raises."""
    return explainer.explain(body)
