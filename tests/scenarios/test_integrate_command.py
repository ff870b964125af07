"""`erpcrm integrate`: one round on the command line, told stream by stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.integration import WORK
from erpcrm_orchestration.services.leases import hold
from erpcrm_orchestration.services.polling import StreamPoll, poll
from tests.integrated_company import CREDENTIALS, IntegratedCompany


@pytest.fixture
def shop(clock: FixedClock) -> Shop:
    """The simulated shop."""
    return Shop(clock=clock)


@pytest.fixture
def erp(clock: FixedClock) -> Erp:
    """The simulated ERP."""
    return Erp(clock=clock)


@pytest.fixture
def company(
    engine: sa.Engine, database_url: sa.URL, clock: FixedClock, shop: Shop, erp: Erp, monkeypatch: pytest.MonkeyPatch
) -> Iterator[IntegratedCompany]:
    """Dossier 998 with shop and ERP; the command line works on this database at the clock's time."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setattr("erpcrm_orchestration.cli.integrate.SystemClock", lambda: clock)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = IntegratedCompany(engine, clock)
    made.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("erp", erp))}
        made.connect_systems(shop=urls["shop"], erp=urls["erp"])
        yield made


def integrated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], list[str]]:
    """Return the exit code and the lines of both outputs."""
    code = run(["integrate", *arguments])
    written = capsys.readouterr()
    return code, written.out.splitlines(), written.err.splitlines()


def ordered(shop: Shop) -> int:
    customer = shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand")
    product = shop.add_product("Lamp", "12.50")
    return int(shop.add_order([(product["id"], 2)], customer_id=customer["id"])["id"])


def test_a_round_is_told_in_one_line_for_each_stream_and_system(
    company: IntegratedCompany, shop: Shop, erp: Erp, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ordered(shop)
    code, out, err = integrated(capsys, "998")
    assert (code, err) == (0, [])
    assert "998 shop_998 orders: received 1, integrated 1, rejected 0, waiting 0" in out
    assert "998 shop_998 products: received 1, integrated 1, rejected 0, waiting 0" in out
    assert "998 erp_998: delivered 3" in out
    assert [sale["external_reference"] for sale in erp.orders] == [str(order)]


def test_what_is_not_due_is_read_when_everything_is_asked_for(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    integrated(capsys)
    ordered(shop)
    company.clock.at += timedelta(seconds=1)
    nothing = ["998 erp_998: delivered 0", "998 shop_998: delivered 0", "998: nothing was due to be read"]
    assert integrated(capsys, "998") == (0, nothing, [])
    _, out, _ = integrated(capsys, "998", "--everything")
    assert "998 shop_998 orders: received 1, integrated 1, rejected 0, waiting 0" in out


def test_a_system_that_failed_ends_with_3_and_the_others_are_done(
    company: IntegratedCompany, shop: Shop, erp: Erp, capsys: pytest.CaptureFixture[str]
) -> None:
    ordered(shop)
    erp.faults.arm("500", times=None)
    code, out, err = integrated(capsys)
    assert code == 3
    assert "998 shop_998 orders: received 1, integrated 1, rejected 0, waiting 0" in out
    assert [line.partition(" ")[0] for line in err] == ["998:"]
    assert "erp_998" in err[0]


def test_a_dossier_whose_lease_was_taken_over_ends_with_4_and_nothing_of_it_is_written(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is our own database that refuses, no system."""
    ordered(shop)

    def overtaken(*args: Any, **more: Any) -> dict[str, StreamPoll]:
        with company.engine.begin() as connection:
            connection.execute(sa.text("UPDATE flow.lease SET epoch = epoch + 1, holder = 'run-9'"))
        return poll(*args, **more)

    monkeypatch.setattr("erpcrm_orchestration.services.round.poll", overtaken)
    code, _, err = integrated(capsys)
    assert (code, [line.partition(" ")[0] for line in err]) == (4, ["998:"])
    assert company.rows("flow.inbox") == []


def test_a_stopped_connection_is_said_and_ends_with_1(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERP_KEY", "wrong")
    assert integrated(capsys)[0] == 3
    monkeypatch.setenv("ERP_KEY", CREDENTIALS["ERP_KEY"])
    company.pass_time()
    code, _, err = integrated(capsys)
    assert code == 1
    assert [line.partition(": E-")[0] for line in err] == ["998 erp_998: stopped"]


def test_a_dossier_that_another_run_works_on_is_left_alone(
    company: IntegratedCompany, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    ordered(shop)
    with hold(company.engine, ["998"], WORK, holder="run-9", clock=company.clock):
        assert integrated(capsys) == (1, [], ["998: another run works on it now"])
    assert company.rows("flow.inbox") == []


def test_a_dossier_without_a_connection_and_an_unknown_one_are_refused(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str]
) -> None:
    company.dossier("001")
    refused = "E-CLI-067 dossier 001: no active connection; add one below `connections` and apply it"
    assert integrated(capsys, "001") == (2, [], [refused])
    assert integrated(capsys, "997") == (2, [], ["E-CLI-057 dossier: no dossier '997'; nearest: 998, 001"])
