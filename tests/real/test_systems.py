"""The real systems run and do what the tests of connectors need of them."""

from __future__ import annotations

import requests

from tests.real.systems.bottlecrm import BottleCrm
from tests.real.systems.oscar import OscarShop
from tests.real.systems.tryton import TrytonErp


def test_a_client_places_an_order_in_oscar_through_its_public_api(oscar_shop: OscarShop) -> None:
    number = oscar_shop.place_order([(1, 2), (2, 1)])
    order = next(one for one in oscar_shop.orders() if one["number"] == number)
    lines = oscar_shop.ask("GET", order["lines"])["results"]
    assert [(line["quantity"], line["price_incl_tax"]) for line in lines] == [(2, "21.00"), (1, "11.50")]
    assert order["total_incl_tax"] == "32.50"


def test_a_sale_in_tryton_is_shipped_and_invoiced(tryton_erp: TrytonErp) -> None:
    sale = tryton_erp.place_sale("WEB-1", [("P000", 2)])
    tryton_erp.process(sale)
    tryton_erp.ship(sale)
    tryton_erp.invoice(sale)
    found = tryton_erp.read("sale.sale", sale, "state", "shipment_state", "invoice_state")
    assert (found["state"], found["shipment_state"], found["invoice_state"]) == ("processing", "sent", "awaiting payment")


def test_an_organisation_of_bottlecrm_does_not_see_the_accounts_of_another(bottlecrm: BottleCrm) -> None:
    account = bottlecrm.add_account("Client web 1")
    path = f"accounts/{account}/"
    assert bottlecrm.ask("PATCH", path, json={"city": "Paris"}).status_code == 200
    assert bottlecrm.ask("GET", path, organisation=1).status_code == 404


def test_the_reading_key_of_bottlecrm_may_not_write(bottlecrm: BottleCrm) -> None:
    headers = {"Token": bottlecrm.organisations[0].read}
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{bottlecrm.api}/leads/", headers=headers, timeout=30).status_code == 200
        assert session.post(f"{bottlecrm.api}/leads/", headers=headers, json={"title": "x"}, timeout=30).status_code == 403
