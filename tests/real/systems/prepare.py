"""Builds the real systems named as arguments: started at the beginning of a test session, so that tests need not wait."""

from __future__ import annotations

import sys

from tests.real.systems import bottlecrm, oscar, tryton
from tests.real.systems.cache import NotBuilt, Recipe

RECIPES: dict[str, Recipe] = {"tryton_erp": tryton.RECIPE, "oscar_shop": oscar.RECIPE, "bottlecrm": bottlecrm.RECIPE}
"""By the name of the fixture that needs it."""

if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            RECIPES[name].built()
        except NotBuilt as error:
            # The fixture tries again and fails with this text.
            sys.stderr.write(f"{name}: {error}\n")
