"""`erpcrm rebuild`: after a change of mapping the tables are made anew from the inbox, and only when told so."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.services.leases import hold
from tests.integrated_company import IntegratedCompany

HERE = ["--dossier", "998"]
OTHER_NAME = "connectors: {shop: {kind: woocommerce, entities: {products: {map: {fields: {name: slug}}}}}}"


@pytest.fixture
def company(engine: sa.Engine, database_url: sa.URL, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> IntegratedCompany:
    """Dossier 998 with two products of the shop; the second one was changed before."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setattr("erpcrm_orchestration.cli.rebuild.SystemClock", lambda: clock)
    shop, made = Shop(clock=clock), IntegratedCompany(engine, clock)
    made.dossier()
    with WebServer(shop) as server:
        made.connect_shop(server.url)
        for name in ("Lamp", "Cable"):
            number = shop.add_product(name)["id"]
        made.round()
        made.pass_time()
        shop.change("products", number, name="Long cable", slug="long-cable")
        made.round()
        made.pass_time()
    return made


def names(company: IntegratedCompany) -> list[str]:
    """Return what our products are called."""
    return [row["name"] for row in company.rows("hub.product")]


def test_a_changed_mapping_is_shown_first_and_applied_with_yes(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rebuild", "product", *HERE]) == 0
    assert "2 records are in the inbox, 0 would change" in capsys.readouterr().out
    company.connect(OTHER_NAME)
    messages = company.rows("flow.inbox")
    assert run(["rebuild", "product", *HERE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["written"], told["changed"]) == (False, 2)
    assert names(company) == ["Lamp", "Long cable"]
    assert run(["rebuild", "product", *HERE, "--yes"]) == 0
    assert capsys.readouterr().out == "2 records are in the inbox, 2 changed\n"
    assert names(company) == ["lamp", "long-cable"]
    assert company.rows("flow.inbox") == messages


def test_rows_that_were_lost_are_made_again_and_an_unknown_entity_or_a_busy_dossier_is_refused(
    company: IntegratedCompany, capsys: pytest.CaptureFixture[str]
) -> None:
    with company.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE hub.product CASCADE"))
    assert run(["rebuild", "product", *HERE, "--yes"]) == 0
    assert names(company) == ["Lamp", "Long cable"]
    assert run(["rebuild", "article", *HERE]) == 2
    with hold(company.engine, ["998"], "integration", holder="other", clock=company.clock):
        assert run(["rebuild", "product", *HERE]) == 4
    assert "E-DB-031" in capsys.readouterr().err
