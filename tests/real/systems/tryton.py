"""A real Tryton 8.2 on SQLite: company, customers, goods and stock are there; sales are made by the tests."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import requests

from tests.real.systems.cache import SITES, Recipe, environment, run
from tests.real.systems.serving import free_port, serving

DATABASE = "erp998"
USER = "admin"
PASSWORD = "loopback-admin-1"  # noqa: S105
SITE = SITES / "tryton_site"
CASH_ACCOUNT = "1.1.1"
"""Cash and cash equivalents in Tryton's universal chart."""


def _configuration(folder: Path, port: int) -> Path:
    file = folder / "trytond.conf"
    lines = (
        "[database]", "uri = sqlite://", f"path = {folder}",
        "[web]", f"listen = 127.0.0.1:{port}",
        "[session]", "timeout = 86400", "max_attempt = 1000",
    )  # fmt: skip
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _make(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    (data / f"{DATABASE}.sqlite").touch()
    password = data / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    configuration = str(_configuration(data, 1))
    env = environment(TRYTONPASSFILE=str(password))
    admin = [str(folder / "venv" / "bin" / "trytond-admin"), "-c", configuration, "-d", DATABASE]
    run([*admin, "-u", "ir", "res", "--email", "admin@example.com", "-p", "--administrator"], env=env)
    run([*admin, "-u", "sale", "sale_subscription", "account_invoice_stock", "--activate-dependencies"], env=env)
    run([str(folder / "venv" / "bin" / "python"), str(SITE / "seed.py"), DATABASE, configuration], env=env)


RECIPE = Recipe("tryton", _make, SITE)


@dataclass
class TrytonErp:
    """A running Tryton; its methods do what people do in it, over its own JSON-RPC."""

    url: str
    database: str = DATABASE
    user: str = USER
    password: str = PASSWORD
    _session: requests.Session = field(default_factory=requests.Session, repr=False)
    _context: dict[str, Any] = field(default_factory=dict, repr=False)

    def login(self) -> None:
        """Begin a session; Tryton's first answer after a start may be a 404, which is asked again."""
        self._session.trust_env = False
        for _ in range(5):
            answer = self._post("common.db.login", [self.user, {"password": self.password}])
            if answer.status_code == 200:
                break
        number, token, *_ = answer.json()["result"]
        proof = base64.b64encode(f"{self.user}:{number}:{token}".encode()).decode()
        self._session.headers["Authorization"] = f"Session {proof}"
        self._context = self.rpc("res.user", "get_preferences", True)

    def close(self) -> None:
        self._session.close()

    def _post(self, method: str, params: list[Any]) -> requests.Response:
        body = {"id": 1, "method": method, "params": params}
        return self._session.post(f"{self.url}/{self.database}/rpc/", json=body, timeout=60)

    def _ask(self, method: str, *params: Any) -> Any:
        answer = self._post(method, list(params))
        answer.raise_for_status()
        content = answer.json()
        if content.get("error"):
            raise RuntimeError(content["error"])
        return content["result"]

    def rpc(self, model: str, method: str, *arguments: Any) -> Any:
        """Return what a method of a model gives; values travel as Tryton's JSON writes them."""
        return self._ask(f"model.{model}.{method}", *arguments, self._context)

    def _wizard(self, name: str, values: dict[str, Any], step: str, **context: Any) -> None:
        """Fill in the first form of a wizard and go on with a step."""
        within = {**self._context, **context}
        session = self._ask(f"wizard.{name}.create", within)[0]
        self._ask(f"wizard.{name}.execute", session, {"start": values}, step, within)

    def search(self, model: str, domain: list[Any]) -> list[int]:
        """Return the ids of the records of a model, in their order."""
        found: list[int] = self.rpc(model, "search", domain, 0, None, [["id", "ASC"]])
        return found

    def read(self, model: str, record_id: int, *fields: str) -> dict[str, Any]:
        """Return fields of a record."""
        row: dict[str, Any] = self.rpc(model, "read", [record_id], list(fields))[0]
        return row

    def place_sale(self, reference: str, goods: Sequence[tuple[str, int]] = (("P000", 1),), *, customer: str = "C0000") -> int:
        """Make a draft sale of (product code, quantity) and return its id."""
        party = self.search("party.party", [["code", "=", customer]])[0]
        address = self.read("party.party", party, "addresses")["addresses"][0]
        term = self.search("account.invoice.payment_term", [])[0]
        lines = [self._line(code, quantity) for code, quantity in goods]
        values = {"party": party, "invoice_address": address, "shipment_address": address, "payment_term": term}
        more = {"reference": reference, "invoice_method": "order", "shipment_method": "order", "lines": [["create", lines]]}
        return int(self.rpc("sale.sale", "create", [{**values, **more}])[0])

    def _line(self, code: str, quantity: int) -> dict[str, Any]:
        product = self.search("product.product", [["code", "=", code]])[0]
        unit = self.read("product.product", product, "default_uom")["default_uom"]
        price = decimal("12.50")
        taxes = [["add", self.search("account.tax", [])]]
        return {"product": product, "quantity": float(quantity), "unit": unit, "unit_price": price, "taxes": taxes}

    def process(self, sale: int) -> None:
        """Quote, confirm and process a sale: its shipment and its invoice are made."""
        for step in ("quote", "confirm", "process"):
            self.rpc("sale.sale", step, [sale])

    def ship(self, sale: int) -> None:
        """Send the shipments of a processed sale."""
        shipments = self.read("sale.sale", sale, "shipments")["shipments"]
        for step in ("assign_force", "pick", "pack", "do"):
            self.rpc("stock.shipment.out", step, shipments)

    def invoices(self, sale: int) -> list[int]:
        """Return the ids of the invoices of a processed sale."""
        found: list[int] = self.read("sale.sale", sale, "invoices")["invoices"]
        return found

    def invoice(self, sale: int) -> None:
        """Post the invoices of a processed sale."""
        self.rpc("account.invoice", "post", self.invoices(sale))

    def draft_invoice(self, kind: Literal["in", "out"]) -> int:
        """Make a draft invoice, `in` of a supplier or `out` to a customer, and return its id."""
        party = self.search("party.party", [["code", "=", "C0003"]])[0]
        address = self.read("party.party", party, "addresses")["addresses"][0]
        side = "type.payable" if kind == "in" else "type.receivable"
        account = self.search("account.account", [[side, "=", True], ["closed", "!=", True]])[0]
        values = {"type": kind, "party": party, "invoice_address": address, "account": account}
        return int(self.rpc("account.invoice", "create", [values])[0])

    def pay(self, sale: int) -> None:
        """Pay the posted invoices of a sale in full; Tryton lets nobody pay whose login is not fresh."""
        self.login()
        for number in self.invoices(sale):
            invoice = self.read("account.invoice", number, "amount_to_pay", "party", "currency", "company")
            paid = {"payee": invoice["party"], "amount": invoice["amount_to_pay"], "currency": invoice["currency"]}
            how = {"company": invoice["company"], "payment_method": self._payment_method(), "date": self.today()}
            self._wizard("account.invoice.pay", {**paid, **how}, "choice", active_model="account.invoice", active_id=number)

    def today(self) -> Any:
        """Return Tryton's day."""
        return self.rpc("ir.date", "today")

    def _payment_method(self) -> int:
        found = self.search("account.invoice.payment.method", [["name", "=", "Cash"]])
        if found:
            return found[0]
        account = self.search("account.account", [["code", "=", CASH_ACCOUNT]])[0]
        journal = self.search("account.journal", [["type", "=", "cash"]])[0]
        accounts = {"journal": journal, "debit_account": account, "credit_account": account}
        values = {"name": "Cash", "company": self._context["company"], **accounts}
        return int(self.rpc("account.invoice.payment.method", "create", [values])[0])

    def add_service(self, code: str) -> int:
        """Make a service that is subscribed and consumed each month; return the product's id."""
        unit = self.search("product.uom", [["symbol", "=", "u"]])[0]
        category = self.search("product.category", [["accounting", "=", True]])[0]
        values = {"name": code, "code": code, "type": "service", "salable": True, "list_price": decimal("9.00")}
        more = {"default_uom": unit, "sale_uom": unit, "account_category": category, "products": [["create", [{}]]]}
        template = self.rpc("product.template", "create", [{**values, **more}])[0]
        product = int(self.read("product.template", template, "products")["products"][0])
        self.rpc("sale.subscription.service", "create", [{"product": product, "consumption_recurrence": self._monthly()}])
        return product

    def _monthly(self) -> int:
        """Return the set of recurrence rules that is named as the shop's period is told."""
        found = self.search("sale.subscription.recurrence.rule.set", [["name", "=", "1 month"]])
        rules = [["create", [{"freq": "monthly", "interval": 1}]]]
        made = found or self.rpc("sale.subscription.recurrence.rule.set", "create", [{"name": "1 month", "rules": rules}])
        return int(made[0])

    def run_subscription(self, subscription: int) -> None:
        """Say that its lines are consumed as often as it is invoiced, and run it."""
        held = self.read("sale.subscription", subscription, "lines", "invoice_recurrence")
        self.rpc("sale.subscription.line", "write", held["lines"], {"consumption_recurrence": held["invoice_recurrence"]})
        for step in ("quote", "run"):
            self.rpc("sale.subscription", step, [subscription])

    def close_subscription(self, subscription: int) -> None:
        """Let a running subscription end today: Tryton closes it with its last consumption."""
        today = self.today()
        self.rpc("sale.subscription", "draft", [subscription])
        self.rpc("sale.subscription", "write", [subscription], {"end_date": today})
        for step in ("quote", "run"):
            self.rpc("sale.subscription", step, [subscription])
        start = {"date": {**today, "year": today["year"] + 1}, "companies": [self._context["company"]]}
        self._wizard("sale.subscription.line.consumption.create", start, "create_")


def decimal(number: str) -> dict[str, str]:
    """Return a decimal as Tryton's JSON writes it."""
    return {"__class__": "Decimal", "decimal": number}


@contextmanager
def running_tryton(folder: Path) -> Iterator[TrytonErp]:
    """Run a Tryton on a copy of the prepared database in `folder`."""
    built = RECIPE.built()
    port = free_port()
    shutil.copy(built / "data" / f"{DATABASE}.sqlite", folder / f"{DATABASE}.sqlite")
    configuration = _configuration(folder, port)
    erp = TrytonErp(f"http://127.0.0.1:{port}")
    command = [str(built / "venv" / "bin" / "trytond"), "-c", str(configuration), "-d", DATABASE]
    with serving(command, env=environment(), cwd=folder, ready=lambda: _is_ready(erp.url)):
        erp.login()
        try:
            yield erp
        finally:
            erp.close()


def _is_ready(url: str) -> bool:
    body = {"id": 0, "method": "common.server.version", "params": []}
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"{url}/rpc/", json=body, timeout=20).status_code == 200
    except requests.RequestException:
        return False
