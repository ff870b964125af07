"""A system with many orders: JSON pages over HTTP, made as they are asked for, from a process of its own.

Run as `python -m benchmarks.order_pages ORDERS`; it prints its port. Every order has three lines and about 750 bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

CUSTOMERS, PRODUCTS = 1_000, 500
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 1_000

Json = dict[str, Any]


def order(number: int, changed: datetime | None = None) -> Json:
    """Return an order; its modified instant is its number in seconds, unless it was changed."""
    at = (BEGIN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    lines = [
        {
            "id": number * 3 + at_line,
            "product_id": (number + at_line) % PRODUCTS + 1,
            "sku": f"A{(number + at_line) % PRODUCTS:05}",
            "name": f"Article {(number + at_line) % PRODUCTS}",
            "quantity": at_line + 1,
            "price": "10.00",
            "total": f"{(at_line + 1) * 10}.00",
        }
        for at_line in range(3)
    ]
    customer = number % CUSTOMERS + 1
    return {
        "id": number, "number": f"SO-{number:08}", "status": "processing", "currency": "EUR", "customer_id": customer,
        "total": "72.00", "tax": "12.00", "created_at": at,
        "modified_at": changed.isoformat().replace("+00:00", "Z") if changed else at,
        "note": "ring twice" if changed else "",
        "address": {"first_name": "Ana", "last_name": f"Durand {customer}", "line_1": f"{customer} rue des Tests", "postcode": "69001",
                    "city": "Lyon", "country": "FR", "email": f"client{customer}@example.com"},
        "lines": lines,
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """GET /orders?after=..&from=..; /customers and /products whole; POST /change makes one order in a hundred newer."""

    protocol_version = "HTTP/1.1"
    orders = 0
    changed_at: datetime | None = None

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/orders":
            self._answer(self._orders(query))
        elif url.path == "/customers":
            self._answer({"items": [{"id": n, "email": f"client{n}@example.com"} for n in range(1, CUSTOMERS + 1)]})
        else:
            self._answer({"items": [{"id": n, "sku": f"A{n - 1:05}", "name": f"Article {n}"} for n in range(1, PRODUCTS + 1)]})

    def do_POST(self) -> None:
        type(self).changed_at = BEGIN + timedelta(days=300)
        self._answer({})

    def _orders(self, query: dict[str, str]) -> Json:
        start = int(query.get("from", "0"))
        after = query.get("after", "")
        size = int(query.get("limit", PAGE))
        if after and self.changed_at and after > BEGIN.isoformat():
            numbers = range(100, self.orders + 1, 100)[start : start + size]
            items = [order(number, self.changed_at) for number in numbers]
            more = start + size < self.orders // 100
        else:
            items = [order(number) for number in range(start + 1, min(start + size, self.orders) + 1)]
            more = start + size < self.orders
        link = f"/orders?from={start + size}&limit={size}" + (f"&after={after}" if after else "")
        return {"items": items, "next": link if more else None}

    def _answer(self, content: Json) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(orders: int) -> Iterator[str]:
    """Start the system; yield its address."""
    command = [sys.executable, "-m", "benchmarks.order_pages", str(orders)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    Handler.orders = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
