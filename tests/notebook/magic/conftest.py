"""A kernel with the magics whose service is a sandbox that counts what arrives."""

from __future__ import annotations

import pytest


@pytest.fixture
def service(make_sandbox):
    return make_sandbox()


@pytest.fixture
def kernel(on, service):
    return on(service)
