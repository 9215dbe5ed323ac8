"""What the price and the duration of a job depend on, as far as anyone knows."""

from __future__ import annotations

from .generation_request import GenerationRequest

Kind = tuple[str, str, int]
"""Model, resolution and number of images: what price and duration of a job depend on, as far as anyone knows."""


def kind(request: GenerationRequest) -> Kind:
    """What kind of job this is, for its price and its duration."""
    return request.model, request.resolution, request.num_outputs
