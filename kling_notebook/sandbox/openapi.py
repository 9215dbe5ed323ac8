"""The sandbox's description of itself: the model's entry and an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from .replies import STATUS_OF_CODE
from .schema import MODEL_ID, Shape

JOB_ID_PATTERN = "^job_[0-9a-f]{24}$"
#: Codes of the sandbox's own beside those of the given document.
OWN_CODES = ("not_found", "forbidden")

_TEXT = {"type": "string"}
_CREDITS = {"type": "number", "minimum": 0}
_MEANINGS = {
    400: "Invalid parameters",
    401: "Invalid or missing API key",
    402: "Not enough credits",
    403: "Another host's name, or a web page: the sandbox answers programs on this machine only",
    404: "Not found",
    405: "Wrong method",
    429: "Too many requests",
    500: "Server error",
}

#: Statuses that every address may answer.
_ANYWHERE = (403, 405, 500)


def model_entry(cost: float) -> dict[str, Any]:
    """The model as GET /models lists it."""
    return {
        "apiId": MODEL_ID,
        "name": "Kling Image V3 (sandbox)",
        "description": "Kling Image V3 text-to-image generation with optional image edits and flexible aspect ratios",
        "modality": "image",
        "creditCost": {"default": cost, "type": "per_image", "amount": cost},
    }


def document(shape: Shape, origin: str, *, publish_schema: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a sandbox under ``origin``."""
    job_id = _parameter("jobId", {"type": "string", "pattern": JOB_ID_PATTERN})
    model_id = _parameter("modelId", {"type": "string", "enum": [MODEL_ID]})
    submit = _operation("runModel", "Submit a job", "Submitted", (400, 401, 402, 404, 429), model_id)
    submit["requestBody"] = {"required": True, "content": _json(_object("Request"))}
    submit["responses"]["200"]["links"] = {  # so that a test tool can follow a job from its submit to its poll
        "poll": {"operationId": "getJob", "parameters": {"jobId": "$response.body#/jobId"}}
    }
    paths: dict[str, Any] = {
        "/api/v1/models/{modelId}/run": {"post": submit},
        "/api/v1/jobs/{jobId}": {"get": _operation("getJob", "Poll for results", "Job", (401, 404, 429), job_id)},
        "/api/v1/models": {"get": _operation("listModels", "All models", "ModelList")},
        "/api/v1/models/{modelId}": {"get": _operation("getModel", "One model", "Model", (404,), model_id)},
        "/api/openapi": {"get": _operation("getOpenapi", "This document", "Document")},
    }
    if publish_schema:
        schema = _operation("getModelSchema", "The request schema of a model", "ModelSchema", (404,), model_id)
        paths["/api/v1/models/{modelId}/schema"] = {"get": schema}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PixelDojo API (sandbox)",
            "version": "1.0.0",
            "description": "A local stand-in for PixelDojo's kling-image API. Its images are painted, not generated.",
        },
        "servers": [{"url": origin}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(shape),
            "responses": {f"Error{status}": _error(status) for status in _MEANINGS},
        },
    }


def _object(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str, summary: str, reply: str, errors: tuple[int, ...] = (), parameter: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One operation: what it replies with, and the errors it may answer beside those of any address.

    It wants the key if it can answer 401.
    """
    described: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": _json(_object(reply))}},
    }
    for status in sorted({*errors, *_ANYWHERE}):
        described["responses"][str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    if 401 not in errors:  # an empty list lifts the requirement that holds for the whole document
        described["security"] = []
    if parameter is not None:
        described["parameters"] = [parameter]
    return described


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _error(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _MEANINGS[status], "content": _json(_object("Error"))}
    if status == 429:
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
        response["headers"] = {name: {"schema": _TEXT} for name in names}
    return response


def _schemas(shape: Shape) -> dict[str, Any]:
    status = {"type": "string", "enum": ["pending", "processing", "completed", "failed"]}
    code = {"type": "string", "enum": [*STATUS_OF_CODE, *OWN_CODES]}
    url = {"type": "string", "format": "uri"}
    images = {"type": "array", "items": url}
    cost = {"type": "object", "properties": {"default": _CREDITS, "type": _TEXT, "amount": _CREDITS}}
    return {
        "Request": shape.request_schema(),
        "Submitted": _record(
            {"jobId": _TEXT, "status": status, "statusUrl": url, "creditCost": _CREDITS, "creditsRemaining": _CREDITS}
        ),
        "Job": _record(
            {"jobId": _TEXT, "status": status, "creditCost": _CREDITS},
            output=_record({"images": images}),
            error={"description": "Why a failed job failed: text, or an object"},
            warnings={"type": "array", "items": _TEXT, "description": "What the images do not show"},
        ),
        "Model": _record({"apiId": _TEXT, "name": _TEXT, "description": _TEXT, "modality": _TEXT, "creditCost": cost}),
        "ModelList": _record({"models": {"type": "array", "items": _object("Model")}, "total": {"type": "integer"}}),
        "Document": {"type": "object"},
        "ModelSchema": _record({"apiId": _TEXT, "requestSchema": {"type": "object"}}),
        "Error": _record({"error": _record({"code": code, "message": _TEXT})}),
    }


def _record(required: dict[str, Any], **optional: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}
