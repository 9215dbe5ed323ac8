"""The sandbox's description of itself: the model's entry and an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from .schema import MODEL_ID, Shape
from .service import number


def model_entry(credit_cost: float) -> dict[str, Any]:
    """The model as GET /models lists it."""
    return {
        "apiId": MODEL_ID,
        "name": "Kling Image V3 (sandbox)",
        "description": "Kling Image V3 text-to-image generation with optional image edits and flexible aspect ratios",
        "modality": "image",
        "creditCost": {"default": number(credit_cost), "type": "per_image", "amount": number(credit_cost)},
    }


def document(shape: Shape, origin: str, *, publish_schema: bool, jobs_list: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a sandbox under ``origin``."""
    return {"openapi": "3.1.0", "info": {"title": "PixelDojo sandbox", "version": "1"}, "paths": {}}
