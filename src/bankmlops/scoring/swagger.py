"""The service's own description: Swagger 2.0 word for word as Azure ML's AutoML endpoints give it. `openapi` tells it exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bankmlops.features import ColumnKind, FeatureSpecification

Document = dict[str, Any]

_FORMATS = {ColumnKind.INTEGER: "int64", ColumnKind.NUMBER: "double"}
HEALTH = "Simple health check endpoint to ensure the service is up at any given point."
_HEALTHY = "If service is up and running, this response will be returned with the content 'Healthy'"
SCORE = "Run web service's model and get the prediction output"
SCORED = "The service processed the input correctly and provided a result prediction, if applicable."
PAYLOAD = "The input payload for executing the real-time machine learning service."
_FAILED = "The service failed to execute due to an error."


def swagger_2(name: str, specification: FeatureSpecification, example: Mapping[str, object], scheme: str) -> Document:
    """Azure's document has no host, so that a client takes the one it was read from; `scheme` is the one it was read by."""
    return {
        "swagger": "2.0",
        "info": _info(name),
        "schemes": [scheme],
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"Bearer": _bearer()},
        "paths": {"/": {"get": _health_operation()}, "/score": {"post": _score_operation()}},
        "definitions": _definitions(specification, example),
    }


def _info(name: str) -> Document:
    description = f"API specification for the Azure Machine Learning service {name}"
    return {"title": name, "description": description, "version": "1.0"}


def _bearer() -> Document:
    return {"type": "apiKey", "name": "Authorization", "in": "header", "description": "For example: Bearer abc123"}


def _health_operation() -> Document:
    healthy = {"description": _HEALTHY, "schema": {"type": "string"}, "examples": {"application/json": "Healthy"}}
    return {"operationId": "ServiceHealthCheck", "description": HEALTH, "responses": {"200": healthy, "default": _failure()}}


def _score_operation() -> Document:
    payload = {"name": "serviceInputPayload", "in": "body", "description": PAYLOAD, "schema": _reference("ServiceInput")}
    scored = {"description": SCORED, "schema": _reference("ServiceOutput")}
    return {
        "operationId": "RunMLService",
        "description": SCORE,
        "security": [{"Bearer": []}],
        "parameters": [payload],
        "responses": {"200": scored, "default": _failure()},
    }


def _failure() -> Document:
    return {"description": _FAILED, "schema": _reference("ErrorResponse")}


def _reference(name: str) -> Document:
    return {"$ref": f"#/definitions/{name}"}


def _definitions(specification: FeatureSpecification, example: Mapping[str, object]) -> Document:
    properties = {column.name: _property(column.kind) for column in specification.columns}
    row = {name: example.get(name) for name in properties}
    rows = {
        "type": "array",
        "items": {"type": "object", "required": list(properties), "properties": properties},
        "format": "pandas.DataFrame:records",
    }
    labels = {"type": "array", "items": {"type": "string"}, "example": [specification.classes[0]], "format": "numpy.ndarray"}
    error = {"status_code": {"type": "integer", "format": "int32"}, "message": {"type": "string"}}
    return {
        "ServiceInput": {"type": "object", "properties": {"data": rows}, "example": {"data": [row]}},
        "ServiceOutput": labels,
        "ErrorResponse": {"type": "object", "properties": error},
    }


def _property(kind: ColumnKind) -> Document:
    return {"type": str(kind)} | ({"format": _FORMATS[kind]} if kind in _FORMATS else {})
