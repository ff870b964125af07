"""A small REST system of each test, and clients whose pauses take no time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.connectors.rest_system import RestSystem


@pytest.fixture
def rest() -> Iterator[RestSystem]:
    """A running REST system, empty."""
    with RestSystem() as running:
        yield running
