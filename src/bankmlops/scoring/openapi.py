"""The service's description as OpenAPI 3.1: what it takes and answers exactly, where Azure ML's Swagger says it roughly.

https://spec.openapis.org/oas/v3.1.1, whose schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

from typing import Any

import numpy

from bankmlops.features import ColumnKind, ColumnSpecification, FeatureSpecification
from bankmlops.features.dates import SHOWN
from bankmlops.scoring.body import METHODS
from bankmlops.scoring.bundle import Bundle
from bankmlops.scoring.service import Service
from bankmlops.scoring.swagger import HEALTH, PAYLOAD, SCORE, SCORED
from bankmlops.types import UnknownCategories

Document = dict[str, Any]

_IGNORED = "Not looked at."
_LARGEST = float(numpy.finfo(numpy.float32).max)

_EXPLAIN = "What each column adds to each row's probabilities: permutation Shapley values against rows of the training data."
_EXPLAINED = "For each class, base plus the contributions of all columns is the row's probability."
_REFUSALS = {
    "400": "The body can't be scored; the message names the row, the column and what would serve.",
    "401": "No key was given.",
    "403": "The key is not one of this endpoint's.",
    "413": "The body has too many bytes or rows.",
    "415": "The body is not application/json as it is.",
    "503": "The service has all it can carry, or the answer would come too late.",
    "default": "The request is refused, or failed.",
}


def openapi_3(service: Service, bundle: Bundle) -> Document:
    """The document. `POST /explain` is in it where the model can explain."""
    schemas = _schemas(service, bundle)
    paths = {
        "/": {"get": _health()},
        "/score": {"post": _operation(service, "RunMLService", SCORE, SCORED, "ServiceInput", "ServiceOutput")},
    }
    if bundle.background is not None:
        paths["/explain"] = {"post": _operation(service, "Explain", _EXPLAIN, _EXPLAINED, "ExplainInput", "ExplainOutput")}
    else:
        del schemas["ExplainInput"], schemas["ExplainOutput"]
    schemes = {"Bearer": {"type": "http", "scheme": "bearer", "description": "One of the endpoint's two keys."}}
    return {
        "openapi": "3.1.0",
        "info": {"title": service.name, "version": service.model_version or "1", "description": f"The model {service.model}."},
        "paths": paths,
        "components": {"securitySchemes": schemes, "schemas": schemas},
    }


def _health() -> Document:
    healthy = {"description": HEALTH, "content": {"text/plain": {"schema": {"type": "string"}, "example": "Healthy"}}}
    return {
        "operationId": "ServiceHealthCheck",
        "description": HEALTH,
        "responses": {"200": healthy, "default": _refusal("default")},
    }


def _operation(service: Service, name: str, description: str, answered: str, taken: str, given: str) -> Document:
    headers = {"x-ms-request-id": _header("string"), "x-ms-run-fn-exec-ms": _header("string")}
    answer = {"description": answered, "headers": headers, "content": _json(_reference(given))}
    return {
        "operationId": name,
        "description": description,
        "security": [{"Bearer": []}] if service.auth_enabled else [],
        "requestBody": {"description": PAYLOAD, "required": True, "content": _json(_reference(taken))},
        "responses": {"200": answer, **{status: _refusal(status) for status in _REFUSALS}},
    }


def _refusal(status: str) -> Document:
    return {"description": _REFUSALS[status], "content": _json(_reference("ErrorResponse"))}


def _header(kind: str) -> Document:
    return {"schema": {"type": kind}}


def _json(schema: Document) -> Document:
    return {"application/json": {"schema": schema}}


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas(service: Service, bundle: Bundle) -> dict[str, Document]:
    specification = bundle.specification
    columns = {column.name: _value(column, service.unknown_categories) for column in specification.columns}
    row = {name: bundle.input_example.get(name) for name in columns}
    result = {
        "type": "object",
        "required": ["result"],
        "properties": {"result": {"anyOf": [_labels(specification), _probabilities()]}},
    }
    return {
        "Row": _row(columns, specification),
        "ServiceInput": _input(columns, service.limits.rows) | {"example": {"data": [row]}},
        "ServiceOutput": result if service.plain_json else _as_azure(result, specification),
        "ExplainInput": _input(columns, service.limits.explained_rows) | {"example": {"data": [row]}},
        "ExplainOutput": _explanation(specification),
        "ErrorResponse": _ERROR,
    }


def _row(columns: Document, specification: FeatureSpecification) -> Document:
    ignored = {name: {"description": _IGNORED} for name in (specification.label_column, *specification.dropped)}
    return {"type": "object", "required": list(columns), "properties": ignored | columns, "additionalProperties": False}


def _value(column: ColumnSpecification, unknown_categories: UnknownCategories) -> Document:
    types = [str(column.kind)]
    types += ["boolean"] if column.holds_booleans and column.kind is not ColumnKind.BOOLEAN else []
    types += ["null"] if column.nullable else []
    schema: Document = {"type": types if len(types) > 1 else types[0]}
    if column.kind.is_numeric:
        schema |= {"minimum": -_LARGEST, "maximum": _LARGEST}
    if column.minimum is not None and column.maximum is not None:
        schema["description"] = f"From {column.minimum:g} to {column.maximum:g} in training."
    if column.parts:
        schema["description"] = f"{SHOWN[0].upper()}{SHOWN[1:]}."
    if column.categories and not column.holds_booleans:
        refuses = unknown_categories is UnknownCategories.REFUSE
        gap = [None] if column.nullable and refuses else []
        schema["enum" if refuses else "examples"] = [*column.values, *gap]
    return schema


def _table(columns: Document, maximum_rows: int) -> Document:
    count = len(columns)
    row = {"type": "array", "prefixItems": list(columns.values()), "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "description": "A table as pandas writes it with orient='split'; the columns' order is free, while the rows keep it.",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"const": list(columns)},
            "index": {"description": _IGNORED},
            "data": {"type": "array", "minItems": 1, "maxItems": maximum_rows, "items": row},
        },
    }


_ERROR: Document = {
    "type": "object",
    "required": ["status_code", "message"],
    "properties": {"status_code": {"type": "integer", "format": "int32"}, "message": {"type": "string"}},
}


def _input(columns: Document, maximum_rows: int) -> Document:
    """Azure ML's two forms, and that of MLflow's models."""
    rows = {"type": "array", "minItems": 1, "maxItems": maximum_rows, "items": _reference("Row")}
    data = {"anyOf": [rows, _table(columns, maximum_rows)]}
    method = {"enum": list(METHODS), "default": METHODS[0]}
    inputs = {"type": "object", "required": ["data"], "properties": {"data": data}}
    parameters = {"type": ["object", "null"], "properties": {"method": method}}
    return {
        "type": "object",
        "anyOf": [
            {"required": ["data"], "properties": {"data": data, "method": method, "Inputs": False}},
            {"required": ["Inputs"], "properties": {"Inputs": inputs, "GlobalParameters": parameters}},
            {"required": ["input_data"], "properties": {"input_data": data, "method": method, "data": False, "Inputs": False}},
        ],
    }


def _labels(specification: FeatureSpecification) -> Document:
    return {"type": "array", "items": {"enum": list(specification.classes)}}


def _probabilities() -> Document:
    return {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}}


def _as_azure(result: Document, specification: FeatureSpecification) -> Document:
    """A string that holds the document, unless the caller accepts `application/json; format=plain`."""
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": result}
    return {"type": ["string", "object"], "anyOf": [text, result], "example": f'{{"result":["{specification.classes[0]}"]}}'}


def _explanation(specification: FeatureSpecification) -> Document:
    of_classes = {"type": "array", "items": {"type": "number"}, "minItems": 2}
    contributions = {column.name: of_classes for column in specification.columns}
    row = {
        "label": {"enum": list(specification.classes)},
        "probabilities": of_classes,
        "contributions": {"type": "object", "required": list(contributions), "properties": contributions},
    }
    rows = {"type": "array", "items": {"type": "object", "required": list(row), "properties": row}}
    properties = {"classes": {"const": list(specification.classes)}, "base": of_classes, "result": rows}
    return {"type": "object", "required": list(properties), "properties": properties}
