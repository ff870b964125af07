"""Leases: one writer, expiry, and a fence that a late writer cannot pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import FenceError
from erpcrm_orchestration.domain.supervision import WORK
from erpcrm_orchestration.services.leases import TTL, hold
from erpcrm_orchestration.services.supervision import Refresh, refresh
from erpcrm_orchestration.store import lease, schema
from tests.company import Company, ago


def take(company: Company, holder: str, *codes: str) -> dict[str, int]:
    with company.engine.begin() as connection:
        return lease.acquire(connection, codes, WORK, holder=holder, now=company.clock.now(), ttl=TTL)


@pytest.fixture
def two(company: Company) -> Company:
    for code in ("001", "998"):
        company.dossier(code)
    return company


def test_a_lease_is_taken_once_and_its_epoch_grows_with_every_holder(two: Company) -> None:
    assert take(two, "a", "001", "998") == {"001": 1, "998": 1}
    assert take(two, "b", "001", "998") == {}
    with two.engine.begin() as connection:
        assert lease.release(connection, holders=["a"]) == 2
    assert take(two, "b", "001") == {"001": 2}


def test_an_expired_lease_is_free_and_the_old_holder_is_fenced(two: Company) -> None:
    old = take(two, "zombie", "998")
    two.clock.at += TTL
    new = take(two, "heir", "998")
    assert new == {"998": old["998"] + 1}
    with two.engine.begin() as connection:
        assert lease.lock_held(connection, old, WORK, holder="zombie") == set()
        assert lease.lock_held(connection, new, WORK, holder="heir") == {"998"}


def test_of_many_that_take_at_once_exactly_one_gets_each_dossier(two: Company) -> None:
    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda number: take(two, f"run-{number}", "001", "998"), range(8)))
        got = [code for one in taken for code in one]
        assert sorted(got) == ["001", "998"]
        with two.engine.begin() as connection:
            lease.release(connection, holders=[f"run-{number}" for number in range(8)])


def test_A40_of_two_simultaneous_evaluations_one_executes_and_the_other_is_skipped_with_its_reason(two: Company) -> None:
    with hold(two.engine, ["998"], WORK, holder="run-1", clock=two.clock) as held:
        assert held.epochs == {"998": 1}
        result = two.refresh("998", "001")
    assert list(result.states) == ["001"]
    assert result.skipped == {"998": "held by run-1"}
    assert two.state("998") is None


def test_A40_evaluations_in_parallel_write_one_history_row_for_each_that_executed(two: Company) -> None:
    def evaluate(number: int) -> int:
        return len(refresh(two.engine, ["998"], Refresh(two.clock, {}, run_id=f"run-{number}")).states)

    with ThreadPoolExecutor(6) as pool:
        executed = sum(pool.map(evaluate, range(6)))
    assert executed >= 1
    assert two.count(schema.interaction_state) == 1


def test_F10_a_writer_that_lost_its_lease_writes_nothing_and_leaves_the_ticks_to_the_heir(
    two: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_over(*_: object, **__: object) -> dict[str, object]:
        two.clock.at += TTL
        take(two, "heir", "998")
        return {}

    monkeypatch.setattr("erpcrm_orchestration.services.supervision.take_in", take_over)
    two.log("998", ago(two, minutes=1))
    result = two.refresh("998", "001")
    assert list(result.states) == ["001"]
    assert isinstance(result.failures["998"], FenceError)
    assert "E-FENCE-001 dossier 998" in str(result.failures["998"])
    assert two.state("998") is None
    with two.engine.connect() as connection:
        held = connection.execute(sa.select(schema.lease.c.holder).where(schema.lease.c.dossier_code == "998")).scalar_one()
    assert held == "heir"


def test_a_lease_that_is_held_is_kept_alive_while_its_holder_works(two: Company) -> None:
    ttl = timedelta(seconds=0.3)
    with hold(two.engine, ["998"], WORK, holder="run-1", clock=two.clock, ttl=ttl):
        two.clock.at += timedelta(hours=1)
        with two.engine.connect() as connection:
            for _ in range(200):
                expires = connection.execute(sa.select(schema.lease.c.expires_at)).scalar_one()
                connection.rollback()
                if expires > two.clock.now():
                    break
                connection.execute(sa.text("SELECT pg_sleep(0.05)"))
    assert expires > two.clock.now()


def test_a_writer_that_locks_while_its_lease_is_being_taken_waits_and_finds_it_gone(two: Company) -> None:
    held = take(two, "a", "998")
    two.clock.at += TTL
    with ThreadPoolExecutor(1) as thread:
        with two.engine.begin() as taking:
            taken = lease.acquire(taking, ["998"], WORK, holder="heir", now=two.clock.now(), ttl=TTL)
            assert taken == {"998": held["998"] + 1}

            def late() -> set[str]:
                with two.engine.begin() as connection:
                    return lease.lock_held(connection, held, WORK, holder="a")

            fenced = thread.submit(late)
            with pytest.raises(TimeoutError):
                fenced.result(0.5)
        assert fenced.result(30) == set()


def test_nobody_takes_an_expired_lease_before_the_commit_of_a_writer_that_locked_it(two: Company) -> None:
    held = take(two, "a", "998")
    with two.engine.begin() as writer:
        assert lease.lock_held(writer, held, WORK, holder="a") == {"998"}
        two.clock.at += TTL * 2
        assert take(two, "heir", "998") == {}
    assert take(two, "heir", "998") == {"998": held["998"] + 1}
