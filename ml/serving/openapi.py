"""Describe the service in OpenAPI: each model with its own columns, their types, and an example that works."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml.core.data.schema import kind_of
from ml.serving.request_rows import DAY
from ml.serving.served_model import ServedModel
from ml.serving.served_version import ServedVersion

TYPES = {"text": "string", "number": "number", "bool": "boolean", "time": "string"}


def describe(models: Iterable[ServedModel]) -> dict[str, Any]:
    """Return the description of some models; one that does not serve is left out."""
    paths = {f"/v1/models/{model.name}:predict": _path(model) for model in models if model.serving is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Evergreen", "version": "1", "description": "Predictions of the champion of each model."},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
        "paths": paths,
    }


def _path(model: ServedModel) -> dict[str, Any]:
    assert model.serving is not None
    served = model.serving.served
    task = model.settings.task
    request = {
        "type": "object",
        "required": ["rows"],
        "properties": {
            "rows": {"type": "array", "maxItems": model.own.max_rows, "items": _row(served)},
            "contributions": {
                "type": "boolean",
                "description": "Whether each row gets its largest contributions (linear models, trees).",
            },
        },
        "examples": [{"rows": [dict(served.example)]}],
    }
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    answers: dict[str, dict[str, Any]] = {
        "classification": {
            "probability": probability,
            "decision": {"type": "boolean", "description": f"Whether it is at least {task.threshold:g}."},
        },
        "multiclass": {
            "probabilities": {"type": "object", "properties": {str(label): probability for label in task.classes}},
            "decision": {"enum": list(task.classes), "description": "The class of the highest probability."},
        },
        "regression": {"value": {"type": "number"}},
    }
    intervals = served.own.fit.intervals
    if intervals is not None:
        about = f"of an interval that holds the outcome in {intervals.coverage:.4g} of the rows."
        answers["regression"] |= {
            "lower": {"type": "number", "description": f"The lower end {about}"},
            "upper": {"type": "number", "description": f"The upper end {about}"},
        }
    contribution = {
        "type": "object",
        "properties": {"column": {"type": "string"}, "contribution": {"type": "number"}},
    }
    row = {
        "type": "object",
        "properties": {
            **answers[task.kind],
            "contributions": {"type": "array", "items": contribution},
        },
    }
    response = {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "request": {"type": "string"},
            "provisional": {"type": "boolean"},
            "predictions": {"type": "array", "items": row},
        },
    }
    return {
        "post": {
            "summary": f"Predict {model.settings.task.target} with version {served.version} of {model.name}",
            "operationId": f"predict_{model.name}",
            "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
            "responses": {
                "200": {"description": "Predictions", "content": {"application/json": {"schema": response}}},
                "401": {"description": "No token of this model was sent."},
                "413": {"description": "Too many rows, or too many bytes."},
                "422": {"description": "A value is unfit: problems names column, row and what was expected."},
                "429": {"description": "Too many requests; Retry-After says when to try again."},
                "503": {"description": "Nobody serves, or too many requests wait; Retry-After says when to try again."},
            },
        }
    }


def _row(served: ServedVersion) -> dict[str, Any]:
    properties = {name: _column(kind) for name, kind in served.types.items()}
    properties[DAY] = {"type": "string", "format": "date", "description": "Today, if it is left out."}
    return {
        "type": "object",
        "required": sorted(set(served.needed) - {DAY}),
        "properties": properties,
    }


def _column(kind: str) -> dict[str, Any]:
    name = "integer" if kind.startswith(("int", "uint")) else TYPES.get(kind_of(kind))
    return {"type": [name, "null"]} if name else {}
