"""A real Tryton 8.2 on SQLite: company, customers, goods and stock are there; sales are made by the tests."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.real.systems.cache import SITES, Recipe, environment, run
from tests.real.systems.serving import free_port, serving

DATABASE = "erp998"
USER = "admin"
PASSWORD = "loopback-admin-1"  # noqa: S105
SITE = SITES / "tryton_site"


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
    run([*admin, "-u", "sale", "account_invoice_stock", "--activate-dependencies"], env=env)
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

    def rpc(self, model: str, method: str, *arguments: Any) -> Any:
        """Return what a method of a model gives; values travel as Tryton's JSON writes them."""
        answer = self._post(f"model.{model}.{method}", [*arguments, self._context])
        answer.raise_for_status()
        content = answer.json()
        if content.get("error"):
            raise RuntimeError(content["error"])
        return content["result"]

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
        price = {"__class__": "Decimal", "decimal": "12.50"}
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

    def invoice(self, sale: int) -> None:
        """Post the invoices of a processed sale."""
        self.rpc("account.invoice", "post", self.read("sale.sale", sale, "invoices")["invoices"])


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
