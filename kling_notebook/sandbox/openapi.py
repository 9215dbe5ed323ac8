"""The sandbox's description of itself: the model's entry and an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from .replies import STATUS_OF_CODE
from .schema import MODEL_ID, Shape

MAX_LISTED = 100
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


def document(shape: Shape, origin: str, *, publish_schema: bool, jobs_list: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a sandbox under ``origin``."""
    paths: dict[str, Any] = {
        "/api/v1/models/{modelId}/run": {"post": _submit()},
        "/api/v1/jobs/{jobId}": {"get": _poll()},
        "/api/v1/models": {"get": _public("listModels", "All models", _object("ModelList"))},
        "/api/v1/models/{modelId}": {"get": _of_model("getModel", "One model", "Model")},
        "/api/openapi": {"get": _public("getOpenapi", "This document", {"type": "object"})},
    }
    if publish_schema:
        paths["/api/v1/models/{modelId}/schema"] = {
            "get": _of_model("getModelSchema", "The request schema of a model", "ModelSchema")
        }
    if jobs_list:
        paths["/api/v1/jobs"] = {"get": _list_jobs()}
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


def _errors(*statuses: int) -> dict[str, Any]:
    """These, and those that any address may answer."""
    return {
        str(status): {"$ref": f"#/components/responses/Error{status}"} for status in sorted({*statuses, *_ANYWHERE})
    }


def _error(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _MEANINGS[status], "content": _json(_object("Error"))}
    if status == 429:
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
        response["headers"] = {name: {"schema": _TEXT} for name in names}
    return response


def _model_parameter() -> dict[str, Any]:
    return {"name": "modelId", "in": "path", "required": True, "schema": {"type": "string", "enum": [MODEL_ID]}}


def _submit() -> dict[str, Any]:
    accepted = {
        "description": "The job was made",
        "content": _json(_object("Submitted")),
        "links": {"poll": {"operationId": "getJob", "parameters": {"jobId": "$response.body#/jobId"}}},
    }
    return {
        "operationId": "runModel",
        "summary": "Submit a job",
        "parameters": [_model_parameter()],
        "requestBody": {"required": True, "content": _json(_object("Request"))},
        "responses": {"200": accepted, **_errors(400, 401, 402, 404, 429)},
    }


def _poll() -> dict[str, Any]:
    job_id = {"type": "string", "pattern": JOB_ID_PATTERN}
    return {
        "operationId": "getJob",
        "summary": "Poll for results",
        "parameters": [{"name": "jobId", "in": "path", "required": True, "schema": job_id}],
        "responses": {
            "200": {"description": "The job as it is now", "content": _json(_object("Job"))},
            **_errors(401, 404, 429),
        },
    }


def _list_jobs() -> dict[str, Any]:
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LISTED, "default": 20}
    return {
        "operationId": "listJobs",
        "summary": "Recent jobs, newest first",
        "parameters": [{"name": "limit", "in": "query", "required": False, "schema": limit}],
        "responses": {
            "200": {"description": "Recent jobs", "content": _json(_object("JobList"))},
            **_errors(400, 401, 429),
        },
    }


def _public(operation: str, summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": summary, "content": _json(schema)}, **_errors()},
    }


def _of_model(operation: str, summary: str, schema: str) -> dict[str, Any]:
    described = _public(operation, summary, _object(schema))
    described["parameters"] = [_model_parameter()]
    described["responses"] |= _errors(404)
    return described


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
        "JobList": _record({"jobs": {"type": "array", "items": _object("JobLine")}, "total": {"type": "integer"}}),
        "JobLine": _record(
            {
                "jobId": _TEXT,
                "model": _TEXT,
                "status": status,
                "creditCost": _CREDITS,
                "prompt": _TEXT,
                "createdAt": {"type": "string", "format": "date-time"},
            }
        ),
        "Model": _record({"apiId": _TEXT, "name": _TEXT, "description": _TEXT, "modality": _TEXT, "creditCost": cost}),
        "ModelList": _record({"models": {"type": "array", "items": _object("Model")}, "total": {"type": "integer"}}),
        "ModelSchema": _record({"apiId": _TEXT, "requestSchema": {"type": "object"}}),
        "Error": _record({"error": _record({"code": code, "message": _TEXT})}),
    }


def _record(required: dict[str, Any], **optional: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}
