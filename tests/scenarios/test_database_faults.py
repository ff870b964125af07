"""A database that is cut off, locked or full while rounds work: nothing is lost, nothing doubled, and the reason is told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import ErpcrmError, StoreError
from erpcrm_orchestration.services.round import ATTEMPTS, DossierRound, Round, work_round
from erpcrm_orchestration.store import record_merge
from erpcrm_orchestration.store.engine import create_engine, dsn, reported
from tests.integrated_company import IntegratedCompany
from tests.scenarios.crash_harness import STEP, CrashHarness
from tests.scenarios.database_proxy import COMMIT, COPY, Cut, DatabaseProxy, Where, proxied
from tests.scenarios.running_deployment import wait_for

EVERYWHERE = "CRASH_ROUNDS" in os.environ
"""`make crash` cuts a round at each of its moments."""
MOST_MOMENTS = 200


@pytest.fixture
def harness(engine: sa.Engine, clock: FixedClock) -> Iterator[CrashHarness]:
    """Shop and ERP of dossier 998, and 999 with a shop of its own; the ERP looks orders up by our number."""
    shop, erp, other = Shop(clock=clock), Erp(clock=clock), Shop(clock=clock)
    company = IntegratedCompany(engine, clock)
    for code in ("998", "999"):
        company.dossier(code)
    with ExitStack() as stack:
        shop_url, erp_url, other_url = (stack.enter_context(WebServer(one)).url for one in (shop, erp, other))
        company.connect_systems(shop=shop_url, erp=erp_url)
        company.connect_systems(dossier="999", shop=other_url)
        other.add_customer(email="eva@example.com")
        made = CrashHarness(company, shop, erp, seed=1)
        made.live()
        yield made


@pytest.fixture
def impatient(harness: CrashHarness) -> Iterator[sa.Engine]:
    """An engine whose sessions wait for a lock 0.2 seconds."""
    engine = create_engine(harness.company.engine.url, lock_timeout_s=0.2)
    yield engine
    engine.dispose()


def work(harness: CrashHarness, engine: sa.Engine, *codes: str, run_id: str = "run") -> dict[str, DossierRound]:
    """Do a round on this engine."""
    return work_round(engine, codes or ("998",), Round(harness.company.clock, harness.company.environment, run_id=run_id))


def settle(harness: CrashHarness) -> None:
    """Do good rounds until everything that was begun is done."""
    for number in range(3):
        harness.company.clock.at += STEP
        done = work(harness, harness.company.engine, run_id=f"good-{number}")["998"]
        assert done.failures == []
    account = harness.account()
    assert account.is_clean, account


def failures(harness: CrashHarness, engine: sa.Engine, run_id: str) -> list[ErpcrmError]:
    """Do a round of 998 and return what it failed of."""
    try:
        return work(harness, engine, run_id=run_id)["998"].failures
    except StoreError as failure:
        return [failure]


# --- F14: the connection is cut ---------------------------------------------------------------------------------------


def cut_everywhere(harness: CrashHarness, proxy: DatabaseProxy, sent: bytes, where: Where, *, step: int) -> int:
    """Cut rounds, each at another moment, `step` after `step` until there is none left; return how many were cut."""
    engine = create_engine(proxy.url)
    for nth in range(1, MOST_MOMENTS, step):
        harness.live()
        cut = Cut(sent, nth, where)
        proxy.arm(cut)
        found = failures(harness, engine, f"cut-{where}-{nth}")
        assert all(one.code == "E-DB-001" for one in found), found
        engine.dispose()
        if not cut.fired:
            return nth // step
        harness.company.clock.at += STEP
        assert work(harness, harness.company.engine, run_id=f"next-{nth}")["998"].failures == []
    raise AssertionError("a round never came to its end")


@pytest.mark.parametrize(
    ("sent", "where", "step"),
    [(COPY, "data", 4), (COMMIT, "request", 9), (COMMIT, "reply", 4)],
    ids=["copy", "commit", "reply"],
)
def test_F14_a_connection_that_is_cut_in_a_copy_or_a_commit_loses_and_doubles_nothing(
    harness: CrashHarness, monkeypatch: pytest.MonkeyPatch, sent: bytes, where: Where, step: int
) -> None:
    """F14: the next round finds out by itself what was committed and what was not."""
    if sent == COPY:
        # As a large batch is written: a few rows go without a copy.
        monkeypatch.setattr(record_merge, "FEW", 0)
    with proxied(harness.company.engine.url) as proxy:
        assert cut_everywhere(harness, proxy, sent, where, step=1 if EVERYWHERE else step) >= 3
    settle(harness)


# --- F15: locks -------------------------------------------------------------------------------------------------------


class Blocker:
    """Another session that has changed the first order of the tables and does not commit."""

    def __init__(self, harness: CrashHarness) -> None:
        self.session = psycopg.connect(dsn(harness.company.engine.url), autocommit=False)
        self.session.execute("SET deadlock_timeout = '1h'")

    def change(self, number: str) -> None:
        """Change an order; waits when somebody else has it."""
        self.session.execute("UPDATE hub.order_header SET customer_note = 'by hand' WHERE number = %s", [number])


@pytest.fixture
def blocker(harness: CrashHarness) -> Iterator[Blocker]:
    """A session that is closed in the end, whatever it holds."""
    assert work(harness, harness.company.engine)["998"].failures == []
    made = Blocker(harness)
    with closing(made.session):
        yield made


def change(harness: CrashHarness) -> str:
    """Change the first order in the shop; return its number."""
    first = min(harness.shop.kinds["orders"])
    harness.company.clock.at += STEP
    harness.shop.change_order(first, customer_note="in the shop")
    return str(harness.shop.order(first)["number"])


def test_F15_a_round_whose_step_waited_too_long_for_a_lock_begins_the_step_again(
    harness: CrashHarness, impatient: sa.Engine, blocker: Blocker
) -> None:
    blocker.change(change(harness))
    waited: list[str | None] = []

    @sa.event.listens_for(impatient, "handle_error")
    def let_go(context: sa.engine.ExceptionContext) -> None:
        waited.append(getattr(context.original_exception, "sqlstate", None))
        blocker.session.rollback()

    assert work(harness, impatient)["998"].failures == []
    assert waited == ["55P03"]
    settle(harness)


def test_F15_P6_a_lock_that_is_never_let_go_fails_its_dossier_with_one_line_and_the_next_round_makes_it_good(
    harness: CrashHarness, impatient: sa.Engine, blocker: Blocker
) -> None:
    blocker.change(change(harness))
    rounds = work(harness, impatient, "998", "999")
    (failure,) = rounds["998"].failures
    assert failure.code == "E-DB-006"
    assert "canceling statement due to lock timeout; see in pg_stat_activity who holds the lock" in str(failure)
    assert "\n" not in str(failure)
    assert rounds["999"].failures == []
    assert rounds["999"].by_entity()["customer"].transformed == 1, "the other dossier does not wait"
    blocker.session.rollback()
    settle(harness)


def test_F15_a_round_that_was_chosen_as_the_victim_of_a_deadlock_begins_its_step_again(
    harness: CrashHarness, blocker: Blocker
) -> None:
    first = change(harness)
    harness.live()
    settle(harness)
    harness.company.clock.at += STEP
    second = max(harness.shop.kinds["orders"])
    for order in (min(harness.shop.kinds["orders"]), second):
        harness.shop.change_order(order, customer_note="in both")
    blocker.change(str(harness.shop.order(second)["number"]))
    engine, states = harness.company.engine, []

    @sa.event.listens_for(engine, "handle_error")
    def note(context: sa.engine.ExceptionContext) -> None:
        states.append(getattr(context.original_exception, "sqlstate", None))

    def close_the_circle() -> None:
        wait_for(lambda: blocked_sessions(harness), 30, "the round waits for the second order")
        blocker.change(first)
        blocker.session.rollback()

    thread = threading.Thread(target=close_the_circle)
    thread.start()
    assert work(harness, engine)["998"].failures == []
    thread.join()
    sa.event.remove(engine, "handle_error", note)
    assert states == ["40P01"]
    settle(harness)


def blocked_sessions(harness: CrashHarness) -> int:
    """Return how many sessions of this database wait for a lock."""
    with psycopg.connect(dsn(harness.company.engine.url)) as session:
        found = session.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    assert found is not None
    return int(found[0])


TRIGGER = """
CREATE SEQUENCE public.met;
CREATE FUNCTION public.stand_in_the_way() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.met') <= {times} THEN
        RAISE EXCEPTION 'another session is in the way' USING ERRCODE = '{state}';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stand_in_the_way BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.stand_in_the_way();
"""


@pytest.mark.parametrize(
    ("table", "state"), [("flow.inbox", "40001"), ("hub.order_header", "40P01"), ("flow.logbook_entry", "55P03")]
)
def test_F15_a_step_is_begun_again_so_often_and_then_fails(harness: CrashHarness, table: str, state: str) -> None:
    """A serialization failure, a deadlock or a lock while reading, integrating or delivering: one time less is made good."""
    for times in (ATTEMPTS - 1, ATTEMPTS):
        with psycopg.connect(dsn(harness.company.engine.url)) as session:
            session.execute(TRIGGER.format(times=times, state=state, table=table))
        found = failures(harness, harness.company.engine, f"met-{times}")
        assert [one.code for one in found] == ["E-DB-006"] * (times == ATTEMPTS)
        with psycopg.connect(dsn(harness.company.engine.url)) as session:
            session.execute(f"DROP TRIGGER stand_in_the_way ON {table}")
            session.execute("DROP FUNCTION public.stand_in_the_way; DROP SEQUENCE public.met")
        harness.live()
    settle(harness)


# --- F16: no connection left ------------------------------------------------------------------------------------------


@contextmanager
def full_server(harness: CrashHarness, *, left: int = 0) -> Iterator[None]:
    """Fill the server with idle sessions until it takes no more, or only so many."""
    with ExitStack() as stack:
        sessions: list[psycopg.Connection] = []

        def take_all() -> None:
            while True:
                sessions.append(stack.enter_context(closing(psycopg.connect(dsn(harness.company.engine.url)))))

        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            take_all()
        for one in sessions[:left]:
            one.close()
        yield


def test_F16_a_server_without_a_connection_left_ends_the_round_with_one_line_and_the_next_one_works(
    harness: CrashHarness,
) -> None:
    harness.company.engine.dispose()
    with full_server(harness):
        (failure,) = failures(harness, harness.company.engine, "full")
    told = "sorry, too many clients already; end sessions that nobody needs or raise max_connections; the next run goes on"
    assert failure.code == "E-DB-005"
    assert str(failure).endswith(told)
    assert "\n" not in str(failure)
    settle(harness)


def test_F16_a_server_that_has_a_single_connection_left_is_no_other_error(harness: CrashHarness) -> None:
    harness.company.engine.dispose()
    with full_server(harness, left=1):
        found = failures(harness, harness.company.engine, "nearly full")
    assert {one.code for one in found} <= {"E-DB-005"}
    settle(harness)


def test_F16_a_process_whose_own_connections_are_all_in_use_says_so(engine: sa.Engine) -> None:
    small = sa.create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with (
        small.connect(),
        pytest.raises(StoreError, match=r"E-DB-005 .*: all connections of this process are in use;"),
        reported(small),
        small.connect(),
    ):
        pass
    small.dispose()
