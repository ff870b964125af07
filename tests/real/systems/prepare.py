"""Builds the real systems named as arguments: started at the beginning of a test session, so that tests need not wait."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.real.systems import bottlecrm, oscar, tryton
from tests.real.systems.cache import NotBuilt, Recipe

RECIPES: dict[str, Recipe] = {"tryton_erp": tryton.RECIPE, "oscar_shop": oscar.RECIPE, "bottlecrm": bottlecrm.RECIPE}
"""By the name of the fixture that needs it."""


def build(name: str) -> None:
    """Build one system; when that fails, the fixture tries again and fails with the same text."""
    try:
        RECIPES[name].built()
    except NotBuilt as error:
        sys.stderr.write(f"{name}: {error}\n")


if __name__ == "__main__":
    # An end asked for from outside still stops the database server that a build may have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Side by side: installing waits for the network, making for the processor.
    with ThreadPoolExecutor() as builders:
        list(builders.map(build, sys.argv[1:]))
