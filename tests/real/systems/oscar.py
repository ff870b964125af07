"""A real shop: django-oscar with its REST API, on SQLite; orders are placed by clients through the public API."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.real.systems.cache import SITES, Recipe, environment, run
from tests.real.systems.serving import answers, free_port, serving

SITE = SITES / "oscar_site"
SQLITE = "shop.sqlite3"


def _environment(folder: Path) -> dict[str, str]:
    return environment(
        DJANGO_SETTINGS_MODULE="oscar_site.settings", PYTHONPATH=str(SITES), OSCAR_DB=str(folder / SQLITE), HOME=str(folder)
    )


def _make(folder: Path) -> None:
    data = folder / "data"
    data.mkdir()
    # The tables are made from the models, which takes less time than the migrations.
    printed = run(
        [str(folder / "venv" / "bin" / "python"), str(SITE / "seed.py")],
        env={**_environment(data), "OSCAR_QUICK": "1"},
        cwd=data,
    )
    (data / "tokens.json").write_text(printed.strip().splitlines()[-1], encoding="utf-8")


RECIPE = Recipe("oscar", _make, SITE)


@dataclass(frozen=True)
class OscarShop:
    """A running shop. `admin` is the token of an administrator, `clients` are those of people who buy."""

    url: str
    admin: str
    clients: Sequence[str]

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        """Return the JSON of an answer; `path` is below /api/ or a whole address."""
        address = path if "://" in path else f"{self.url}/api/{path}"
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Token {token or self.admin}"}
            answer = session.request(method, address, headers=headers, timeout=30, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def place_order(self, goods: Sequence[tuple[int, int]] = ((1, 1),), *, client: int = 0) -> str:
        """Buy (product id, quantity) as a client, through the public API, and return the order's number."""
        token = self.clients[client]
        for product, quantity in goods:
            body = {"url": f"{self.url}/api/products/{product}/", "quantity": quantity}
            self.ask("POST", "basket/add-product/", token, json=body)
        basket = self.ask("GET", "basket/", token)
        order = self.ask("POST", "checkout/", token, json=self._checkout(basket))
        return str(order["number"])

    def _checkout(self, basket: Any) -> dict[str, Any]:
        return {
            "basket": basket["url"],
            "guest_email": "",
            "total": basket["total_incl_tax"],
            "shipping_charge": {"currency": "EUR", "excl_tax": "0.0", "tax": "0.0"},
            "shipping_method_code": "no-shipping-required",
            "shipping_address": {
                "country": f"{self.url}/api/countries/FR/",
                "title": "Ms",
                "first_name": "Anne",
                "last_name": "Durand",
                "line1": "1 rue des Alpes",
                "line4": "Lyon",
                "postcode": "69001",
                "state": "",
                "notes": "",
                "phone_number": "",
            },
        }

    def orders(self) -> list[dict[str, Any]]:
        """Return all orders, newest first, as the administrator sees them."""
        found: list[dict[str, Any]] = self.ask("GET", "admin/orders/?limit=1000")["results"]
        return found

    def set_stock(self, record: int, number: int) -> None:
        """Set the number in stock of a stock record."""
        self.ask("PATCH", f"admin/stockrecords/{record}/", json={"num_in_stock": number})


@contextmanager
def running_oscar(folder: Path) -> Iterator[OscarShop]:
    """Run a shop on a copy of the prepared database in `folder`."""
    built = RECIPE.built()
    shutil.copy(built / "data" / SQLITE, folder / SQLITE)
    tokens = json.loads((built / "data" / "tokens.json").read_text(encoding="utf-8"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    gunicorn = [str(built / "venv" / "bin" / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "4"]
    env = _environment(folder)
    with serving([*gunicorn, "oscar_site.wsgi:application"], env=env, cwd=folder, ready=lambda: answers(f"{url}/api/")):
        yield OscarShop(url, tokens["admin"], tokens["clients"])
