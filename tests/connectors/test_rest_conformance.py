"""The REST client against the small system in all of its flavours."""

from __future__ import annotations

import pytest

from tests.connectors.conformance import Conformance
from tests.connectors.flavours import CANNOT, FLAVOURS, RestUnderTest
from tests.connectors.rest_system import RestSystem


class TestRest(Conformance):
    @pytest.fixture(params=sorted(FLAVOURS))
    def system(self, request: pytest.FixtureRequest, rest: RestSystem) -> RestUnderTest:
        return RestUnderTest(rest, FLAVOURS[request.param], CANNOT.get(request.param, {}))
