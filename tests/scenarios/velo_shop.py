"""The shop of docs/how-to/connect-your-own-shop.md: an API that no connector of ours knows, as small as the page needs it."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from erpcrm_orchestration.demo.message import Answer, Json, Refused, Request, json_answer
from erpcrm_orchestration.demo.web import WebSystem

ACCESS = "velo-secret-7"
FREIGHT_CENTS = 490
MOST = 2
"""Records on a page, however many are asked for."""
KEYS = {"riders": "customer_ref", "articles": "article", "orders": "order_ref"}
BOUGHT = (("A1", 2, "placed"), ("A2", 2, "paid"), ("A3", 3, "placed"), ("A1", 1, "sent"), ("A4", 1, "lost_in_post"))


class Velo(WebSystem):
    """Five riders, four articles, and five orders, the last in a state of which the page's mapping says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Json]] = {kind: {} for kind in KEYS}
        kinds = "|".join(KEYS)
        self.route("GET", f"/v3/({kinds})", self._list)
        self.route("GET", f"/v3/({kinds})/([A-Z0-9-]+)", self._one)
        self.route("POST", "/v3/orders", self._order)
        self.route("PATCH", "/v3/orders/([A-Z0-9-]+)", self._change)
        for number in range(1, 6):
            self._keep("riders", self._rider(number))
        for number in range(1, 5):
            self._keep("articles", self._article(number))
        for number, (article, quantity, state) in enumerate(BOUGHT, 1):
            self.place(f"C-{number}", [{"article": article, "qty": quantity}], state)

    def authorize(self, request: Request) -> None:
        if request.headers.get("x-velo-access") != ACCESS:
            raise Refused(401, "access", "access is refused")

    def place(self, rider: str, items: Sequence[Json], state: str = "placed") -> Json:
        """Return the order that a rider placed."""
        priced = [(one, int(self.records["articles"][one["article"]]["cents"])) for one in items]
        goods = sum(one["qty"] * cents for one, cents in priced)
        return self._keep(
            "orders",
            {
                "order_ref": f"V-{1001 + len(self.records['orders'])}",
                "state": state,
                "currency": "EUR",
                "buyer": {"customer_ref": rider},
                "placed": self._now(),
                "changed": self._now(),
                "deliver_to": {"name": f"Lea Roux {rider[2:]}", **self.records["riders"][rider]["home"]},
                "amounts": {"goods_cents": goods, "freight_cents": FREIGHT_CENTS, "all_cents": goods + FREIGHT_CENTS},
                "items": [
                    {"pos": pos, "article": one["article"], "qty": one["qty"], "cents_each": cents, "cents": one["qty"] * cents}
                    for pos, (one, cents) in enumerate(priced, 1)
                ],
            },
        )

    def _rider(self, number: int) -> Json:
        home = {"road": f"{number} quai Perrache", "zip": "69002", "town": "Lyon", "land": "FR"}
        names = {"given": "Lea", "family": f"Roux {number}", "mail": f"lea{number}@example.com", "tel": f"+3347200000{number}"}
        return {"customer_ref": f"C-{number}", **names, "home": home, "changed": self._now()}

    def _article(self, number: int) -> Json:
        names = {"article": f"A{number}", "label": {"fr": f"Sonnette {number}"}, "ean": f"400000000000{number}"}
        return {**names, "cents": 1940 + 150 * number, "on_hand": 10 * number, "changed": self._now()}

    def _keep(self, kind: str, record: Json) -> Json:
        self.records[kind][record[KEYS[kind]]] = record
        return record

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    def _list(self, request: Request, kind: str) -> Answer:
        """Answer a page of what changed from an instant on, the mark is where the next one begins."""
        found = [one for one in self.records[kind].values() if one["changed"] >= int(request.query.get("changed_from", 0))]
        found.sort(key=lambda one: one["changed"])
        first = int(base64.b64decode(request.query.get("mark", "MA==")))
        end = first + min(request.number("take", MOST), MOST)
        cursor: Json = {"more": end < len(found)}
        if cursor["more"]:
            cursor["mark"] = base64.b64encode(str(end).encode()).decode()
        return json_answer(200, {"hits": found[first:end], "cursor": cursor})

    def _one(self, request: Request, kind: str, key: str) -> Answer:
        if key not in self.records[kind]:
            raise Refused(404, "unknown", f"no {key}")
        return json_answer(200, {"item": self.records[kind][key]})

    def _order(self, request: Request) -> Answer:
        wanted = request.json()
        return json_answer(201, {"item": self.place(wanted["customer_ref"], wanted["items"])})

    def _change(self, request: Request, key: str) -> Answer:
        self.records["orders"][key] |= {**request.json()["patch"], "changed": self._now()}
        return self._one(request, "orders", key)
