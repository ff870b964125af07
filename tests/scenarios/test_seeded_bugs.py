"""Every seeded bug is caught, and every story that catches one ends well without it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from tests.scenarios.bug_trials import BY_KEYS, DEATHS, STORIES, Trial, peaceful
from tests.scenarios.crash_harness import CrashHarness, crashing_company
from tests.scenarios.seeded_bugs import BUGS, plant

TRIALS = {**DEATHS, **STORIES}
MOST_ROUNDS = 30

counter_trials = pytest.mark.skipif(
    "CRASH_ROUNDS" not in os.environ, reason="`make crash` runs the counter-trials of the harness"
)
"""They say that the harness finds nothing where nothing is; they take minutes and change with the harness alone."""


@pytest.fixture
def harness(engine: sa.Engine, clock: FixedClock, request: pytest.FixtureRequest) -> Iterator[CrashHarness]:
    """The company of the crash harness; the bug says whether its ERP knows keys or is looked into."""
    with crashing_company(engine, clock, 1, keys=request.node.callspec.params["bug"] in BY_KEYS) as made:
        yield made


def found(harness: CrashHarness, trial: Trial) -> list[str]:
    """Return what a story finds wrong; what the database refuses is a finding too."""
    try:
        return trial(harness)
    except sa.exc.SQLAlchemyError as error:
        return [f"{type(error).__name__}: {error}"]


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(harness: CrashHarness, bug: str, request: pytest.FixtureRequest) -> None:
    """Within so many rounds; `pytest --junitxml` tells how many."""
    with pytest.MonkeyPatch.context() as patch:
        plant(bug, patch)
        harness.bug = bug
        wrong = found(harness, TRIALS[bug])
    request.node.user_properties.append(("rounds", harness.rounds))
    assert wrong, f"{bug} went through {harness.rounds} rounds unseen"
    assert harness.rounds <= MOST_ROUNDS


@counter_trials
@pytest.mark.parametrize("bug", {trial: bug for bug, trial in TRIALS.items()}.values())
def test_the_story_that_catches_it_ends_well_without_the_bug(harness: CrashHarness, bug: str) -> None:
    assert found(harness, TRIALS[bug]) == []


@counter_trials
@pytest.mark.parametrize("bug", DEATHS)
def test_a_bug_that_shows_in_a_death_goes_unseen_while_nothing_dies(harness: CrashHarness, bug: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(bug, patch)
        assert found(harness, peaceful) == []


def test_every_seeded_bug_is_looked_for() -> None:
    assert set(TRIALS) == set(BUGS)
    assert len(BUGS) >= 20
