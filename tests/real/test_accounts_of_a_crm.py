"""Customers of a shop are accounts of a real CRM, both ways: each once, whatever answer is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from tests.integrated_company import SHOP_CREDENTIALS, IntegratedCompany
from tests.real.systems.bottlecrm import BottleCrm
from tests.real.systems.forward import Forward

CONNECTOR = Path(__file__).parent / "connectors" / "bottlecrm.yaml"


@dataclass
class Clientele:
    """A simulated shop and a real CRM, before which stands a server that can spoil its answers."""

    company: IntegratedCompany
    shop: Shop
    crm: BottleCrm
    front: Forward

    def rounds(self, count: int = 1) -> None:
        """Do rounds that read everything, a quarter of an hour apart."""
        for _ in range(count):
            failures = self.company.round(everything=True)["998"].failures
            told = [row["last_error"] for row in self.company.rows("flow.work_item", state="DEAD")]
            assert (failures, told) == ([], [])
            self.company.pass_time(900)

    def account(self, email: str) -> dict[str, Any]:
        """Return the one account of a customer."""
        (found,) = [one for one in self.crm.accounts() if one["email"] == email]
        return found

    def customer(self, email: str) -> dict[str, Any]:
        """Return the one row of a customer."""
        (found,) = self.company.rows("hub.customer", email=email)
        return dict(found)

    def city(self, email: str) -> str:
        """Return the city of a customer's billing address."""
        (found,) = self.company.rows("hub.address", address_hash=self.customer(email)["billing_address_hash"])
        return str(found["city"])


@pytest.fixture
def clientele(engine: sa.Engine, bottlecrm: BottleCrm) -> Iterator[Clientele]:
    """The shop and the CRM of dossier 998, both written to."""
    company = IntegratedCompany(engine, FixedClock(datetime.now(UTC)))
    company.dossier()
    shop, front = Shop(), Forward(bottlecrm.url)
    with ExitStack() as stack:
        urls = {"SHOP_URL": stack.enter_context(WebServer(shop)).url, "CRM_URL": stack.enter_context(WebServer(front)).url}
        company.environment |= SHOP_CREDENTIALS | urls | {"CRM_TOKEN": bottlecrm.organisations[0].write}
        company.connect(CONNECTOR.read_text(encoding="utf-8"))
        yield Clientele(company, shop, bottlecrm, front)


def buyer(clientele: Clientele, email: str) -> int:
    """Add a customer to the shop and return its id there."""
    place = {"address_1": "1 rue des Alpes", "postcode": "69001", "city": "Lyon", "country": "FR"}
    return int(
        clientele.shop.add_customer(email=email, first_name="Ana", last_name="Durand", phone="+33 1 23 45 67 89", **place)["id"]
    )


def test_a_customer_of_the_shop_becomes_one_account_and_stays_one(clientele: Clientele) -> None:
    buyer(clientele, "ana.one@example.com")
    clientele.rounds(3)
    account = clientele.account("ana.one@example.com")
    assert (account["name"], account["city"], account["country"]) == ("Ana Durand, ana.one@example.com", "Lyon", "FR")
    assert clientele.front.log.count("POST") == 1
    assert clientele.front.log.count("PATCH") == 0
    assert {row["state"] for row in clientele.company.rows("flow.work_item")} == {"DONE"}
    assert clientele.company.rows("flow.field_conflict") == []


def test_an_account_that_was_changed_in_the_crm_reaches_the_customer_of_the_shop(clientele: Clientele) -> None:
    """The CRM tells no date of change: the comparison of contents finds it; the echo of the shop changes nothing."""
    number = buyer(clientele, "ana.two@example.com")
    clientele.rounds(2)
    account = clientele.account("ana.two@example.com")
    clientele.crm.ask(
        "PATCH", f"accounts/{account['id']}/", json={"phone": "+33 2 98 76 54 32", "city": "Paris"}
    ).raise_for_status()
    clientele.rounds(3)
    assert clientele.customer("ana.two@example.com")["phone"] == "+33 2 98 76 54 32"
    assert clientele.city("ana.two@example.com") == "Paris"
    billing = clientele.shop.kinds["customers"].record(number)["billing"]
    assert (billing["phone"], billing["city"], billing["address_1"]) == ("+33 2 98 76 54 32", "Paris", "1 rue des Alpes")
    assert [method for method, path, _ in clientele.shop.writes if path == f"customers/{number}"] == ["PUT"]
    assert clientele.company.rows("flow.field_conflict") == []


def test_accounts_of_the_crm_that_no_customer_has_stay_its_own(clientele: Clientele) -> None:
    clientele.rounds()
    assert clientele.company.rows("hub.customer") == []
    assert set(clientele.company.states(system_code="crm")) == {"IGNORED"}


@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_answer_makes_no_second_account(clientele: Clientele, times: int) -> None:
    """F30: the CRM made the account and its answer was lost; the next attempt looks for it first."""
    email = f"ana.lost{times}@example.com"
    buyer(clientele, email)
    clientele.front.faults.arm("lost_answer", times=times, path="/api/accounts/", method="POST")
    clientele.rounds(5)
    assert clientele.account(email)["name"] == f"Ana Durand, {email}"
    assert {row["state"] for row in clientele.company.rows("flow.work_item")} == {"DONE"}
    assert len(clientele.company.rows("hub.customer")) == 1
    assert clientele.front.log.count("POST") == 1
