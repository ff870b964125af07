"""The simulated ERP over HTTP: customers, products, sales orders that are shipped, invoiced and paid, and their documents.

Who is no prospect has a code and the day of the registration; a prospect gets them with the first order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import count

from erpcrm_orchestration.demo.collection import Collection, Entry
from erpcrm_orchestration.demo.idempotency import Idempotency
from erpcrm_orchestration.demo.message import Answer, Json, Refused, Request, json_answer
from erpcrm_orchestration.demo.web import WebSystem
from erpcrm_orchestration.domain.clock import Clock

ROOT = "/api/v1"
KINDS = ("customers", "products", "orders", "documents")
FILTERS = ("external_reference", "email", "sku", "customer_id", "state", "shipment_state", "invoice_state", "type")
FIELDS: Mapping[str, frozenset[str]] = {
    "customers": frozenset({"external_reference", "name", "email", "phone", "tax_number", "address", "role"}),
    "products": frozenset({"external_reference", "sku", "name", "price", "stock_quantity", "unit"}),
    "orders": frozenset({"external_reference", "customer_id", "currency", "lines", "note", "shipping", "state"}),
}
"""Kind -> what may be written from outside; a customer's role is customer or prospect. Documents are only read."""
PAPERS: Mapping[str, frozenset[str]] = {
    "documents": frozenset({"invoice", "credit_note", "quotation"}),
    "invoices": frozenset({"invoice", "credit_note"}),
    "quotations": frozenset({"quotation"}),
}
"""List -> the types of document in it: all of them are numbered together."""
PREFIXES: Mapping[str, str] = {"invoice": "INV", "credit_note": "CN", "quotation": "QUO"}
CENT = Decimal("0.01")
TAX = Decimal("0.20")
_BEFORE_ALL = -1


class Erp(WebSystem):
    """References of other systems are kept, not unique unless `unique_references`: a second create is a second order.

    `created` counts the records made per kind and external reference; `idempotency.effects` what was done per key.
    """

    def __init__(
        self,
        *,
        api_key: str = "erp_demo",
        most: int = 1000,
        unique_references: bool = False,
        clock: Clock | None = None,
        seed: int = 998,
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        self.most = most
        self.unique_references = unique_references
        self.idempotency = Idempotency()
        self.created: Counter[tuple[str, str]] = Counter()
        self.kinds = {kind: Collection() for kind in KINDS}
        self._api_key = api_key
        self._papers = count(1)
        kinds, papers = "|".join(FIELDS), "|".join(PAPERS)
        self.route("GET", f"{ROOT}/({kinds})", self._list)
        self.route("POST", f"{ROOT}/({kinds})", self._post)
        self.route("GET", f"{ROOT}/({kinds})/([0-9]+)", self._get)
        self.route("PATCH", f"{ROOT}/({kinds})/([0-9]+)", self._patch)
        self.route("GET", f"{ROOT}/({papers})", self._list_papers)
        self.route("GET", f"{ROOT}/({papers})/([0-9]+)", self._get_paper)

    # What people do.

    @property
    def orders(self) -> list[Json]:
        """All sales orders, by id."""
        return self.records("orders")

    def records(self, kind: str) -> list[Json]:
        """Return all records of a kind, by id."""
        with self.lock:
            return [self.kinds[kind].record(record_id) for record_id in self.kinds[kind]]

    def record(self, kind: str, record_id: int) -> Json:
        """Return a record as it is served."""
        with self.lock:
            return self.kinds[kind].record(record_id)

    def by_reference(self, kind: str, reference: str) -> list[Json]:
        """Return the records with this external reference."""
        return [one for one in self.records(kind) if one["external_reference"] == reference]

    def add_customer(self, name: str, **values: object) -> Json:
        """Add a customer."""
        return self._add("customers", {"name": name, **values})

    def add_product(self, sku: str, name: str, *, price: str = "10.00", stock: int = 100, **values: object) -> Json:
        """Add a product."""
        return self._add("products", {"sku": sku, "name": name, "price": price, "stock_quantity": stock, **values})

    def add_order(self, customer_id: int, lines: Sequence[tuple[int, int]], **values: object) -> Json:
        """Add a confirmed sales order of (product id, quantity)."""
        rows = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
        return self._add("orders", {"customer_id": customer_id, "lines": rows, **values})

    def add_document(self, kind: str, customer_id: int, lines: Sequence[tuple[int, int]], **values: object) -> Json:
        """Add an invoice, credit note or quotation of (product id, quantity); of today and open unless `values` differ."""
        with self.lock:
            number = self.kinds["documents"].next_id()
            rows = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in lines]
            return self._document(number, kind, customer_id, self._lines(number, rows), values)

    def change(self, kind: str, record_id: int, **values: object) -> Json:
        """Change fields of a record."""
        with self.lock:
            record = {**self.kinds[kind].record(record_id), **values}
            return self._keep(kind, record, self.kinds[kind].entry(record_id).created)

    def ship(self, order_id: int, quantities: Mapping[int, int] | None = None) -> Json:
        """Ship an order, or only `quantities` by line id; the stock goes down."""
        with self.lock:
            order = self._open(order_id)
            number = f"SH-{next(self._papers):06}"
            shipped = []
            for line in order["lines"]:
                rest = line["quantity"] - line["shipped_quantity"]
                now = rest if quantities is None else min(rest, quantities.get(line["id"], 0))
                line["shipped_quantity"] += now
                shipped.append({"line_id": line["id"], "quantity": now})
                self._take_stock(line["product_id"], now)
            whole = all(line["shipped_quantity"] == line["quantity"] for line in order["lines"])
            paper = {"number": number, "at": _text(self.clock.now()), "carrier": "DPD", "tracking": f"TR{number[3:]}"}
            papers = [*order["shipments"], {**paper, "lines": shipped}]
            return self.change("orders", order_id, **{**order, "shipments": papers, "shipment_state": _shipment(whole)})

    def invoice(self, order_id: int) -> Json:
        """Invoice an order."""
        with self.lock:
            order = self._open(order_id)
            document_id = self.kinds["documents"].next_id()
            number = f"INV-{next(self._papers):06}"
            self._document(
                document_id, "invoice", order["customer_id"], order["lines"], {"number": number, "order_id": order_id}
            )
            paper = {"number": number, "at": _text(self.clock.now()), "total": order["total"], "document_id": document_id}
            return self.change("orders", order_id, invoices=[*order["invoices"], paper], invoice_state="invoiced")

    def pay(self, order_id: int) -> Json:
        """Record the payment of an order, invoiced before."""
        with self.lock:
            invoices = self._open(order_id)["invoices"]
            if not invoices:
                raise Refused(409, "not_invoiced", "the order has no invoice")
            self._state_of(invoices, "paid")
            return self.change("orders", order_id, invoice_state="paid")

    def cancel(self, order_id: int) -> Json:
        """Cancel an order of which nothing was shipped; raise Refused (409) otherwise."""
        with self.lock:
            order = self._open(order_id)
            if order["shipments"]:
                raise Refused(409, "already_shipped", "a part of the order is shipped")
            self._state_of(order["invoices"], "cancelled")
            return self.change("orders", order_id, state="cancelled", shipment_state="none")

    def disturb(self) -> None:
        with self.lock:
            oldest = self.kinds["orders"].oldest_changed()
            if oldest is not None:
                self.change("orders", oldest, note="changed while it was listed")

    # How records are kept.

    def _open(self, order_id: int) -> Json:
        order = self.kinds["orders"].record(order_id)
        if order["state"] == "cancelled":
            raise Refused(409, "cancelled", "the order is cancelled")
        return order

    def _state_of(self, invoices: Sequence[Json], state: str) -> None:
        for paper in invoices:
            self.change("documents", paper["document_id"], state=state)

    def _document(self, number: int, kind: str, customer_id: int, lines: Sequence[Json], values: Mapping[str, object]) -> Json:
        now = self.clock.now()
        kept = [{name: value for name, value in line.items() if name != "shipped_quantity"} for line in lines]
        record = {
            "id": number, "type": kind, "number": f"{PREFIXES[kind]}-D{number:05}", "state": "open", "customer_id": customer_id,
            "order_id": None, "date": f"{now:%Y-%m-%d}", "due_date": None, "currency": "EUR", **_totals(lines), "lines": kept,
            "created_at": _text(now),
        }  # fmt: skip
        return self._keep("documents", {**record, **values}, now)

    def _take_stock(self, product_id: int, quantity: int) -> None:
        if quantity:
            stock = self.kinds["products"].record(product_id)["stock_quantity"]
            self.change("products", product_id, stock_quantity=(stock or 0) - quantity)

    def _add(self, kind: str, values: Json) -> Json:
        with self.lock:
            reference = str(values.get("external_reference") or "")
            if reference and self.unique_references and self.created[kind, reference]:
                existing = self.by_reference(kind, reference)[0]
                raise Refused(409, "reference_taken", f"{reference} is there already", {"existing": existing})
            number = self.kinds[kind].next_id()
            blank: Json = dict.fromkeys(sorted(FIELDS[kind]))
            now = self.clock.now()
            record = {"id": number, **blank, **values, "created_at": _text(now)}
            if kind == "customers":
                record = {"code": None, "registered_on": None, **record}
            if kind == "orders":
                record |= self._order(number, record)
            self.created[kind, reference] += 1
            return self._keep(kind, record, now)

    def _order(self, number: int, values: Json) -> Json:
        if values.get("customer_id") not in self.kinds["customers"]:
            raise Refused(422, "unknown_customer", "the customer is not known", {"fields": ["customer_id"]})
        lines = self._lines(number, values["lines"] or [])
        customer = self.kinds["customers"].record(values["customer_id"])
        if customer["role"] == "prospect":
            self.change("customers", customer["id"], role="customer")
        return {
            "number": f"SO-{number:06}",
            "state": "confirmed",
            "shipment_state": "waiting",
            "invoice_state": "none",
            "currency": values.get("currency") or "EUR",
            "lines": lines,
            **_totals(lines),
            "shipments": [],
            "invoices": [],
        }

    def _lines(self, number: int, rows: Sequence[Json]) -> list[Json]:
        return [self._line(number * 1000 + position, line) for position, line in enumerate(rows, 1)]

    def _line(self, line_id: int, line: Json) -> Json:
        product = self._product(line)
        quantity = line.get("quantity")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 1:
            raise Refused(422, "invalid_quantity", "a quantity is a whole number of 1 or more", {"fields": ["lines"]})
        try:
            price = Decimal(str(line.get("unit_price") or product["price"])).quantize(CENT)
        except InvalidOperation as error:
            raise Refused(422, "invalid_price", "a price is a decimal number", {"fields": ["lines"]}) from error
        return {
            "id": line_id,
            "product_id": product["id"],
            "sku": product["sku"],
            "name": product["name"],
            "quantity": quantity,
            "shipped_quantity": 0,
            "unit_price": str(price),
            "amount": str(price * quantity),
        }

    def _product(self, line: Json) -> Json:
        products = self.kinds["products"]
        product_id = line.get("product_id")
        if product_id is None and line.get("sku"):
            last = products.list("id", limit=1, where={"sku": {str(line["sku"])}}).last
            product_id = last and last[1]
        if product_id not in products:
            raise Refused(422, "unknown_product", "a line's product is not known", {"fields": ["lines"]})
        return products.record(int(product_id or 0))

    def _keep(self, kind: str, record: Json, created: datetime) -> Json:
        now = self.clock.now()
        registered = _registered(record, now) if kind == "customers" else {}
        record = {**record, **registered, "updated_at": _text(now)}
        facets = {name: str(record.get(name)) for name in FILTERS}
        self.kinds[kind].put(record["id"], record, Entry(b"", created, now, facets))
        return record

    # How requests are answered.

    def authorize(self, request: Request) -> None:
        if request.headers.get("x-api-key") != self._api_key:
            raise Refused(401, "unauthorized", "X-Api-Key is missing or wrong")

    def _list(self, request: Request, kind: str) -> Answer:
        return self._listed(request, kind, {name: {request.query[name]} for name in FILTERS if name in request.query})

    def _list_papers(self, request: Request, papers: str) -> Answer:
        where = {name: {request.query[name]} for name in FILTERS if name in request.query}
        wanted = set(PAPERS[papers])
        return self._listed(request, "documents", {**where, "type": where.get("type", wanted) & wanted})

    def _get_paper(self, _request: Request, papers: str, record_id: str) -> Answer:
        entry = self.kinds["documents"].entry(self._existing("documents", record_id))
        if entry.facets["type"] not in PAPERS[papers]:
            raise Refused(404, "not_found", f"no such record in {papers}")
        return json_answer(200, entry.body)

    def _listed(self, request: Request, kind: str, where: Mapping[str, set[str]]) -> Answer:
        limit = request.number("limit", 100, least=1, most=self.most)
        offset = request.number("offset", 0)
        part = self.kinds[kind].list("modified", offset=offset, limit=limit, after=_since(request), where=where)
        head = b'"total":%d,"limit":%d,"offset":%d' % (part.total, limit, offset)
        return json_answer(200, b'{"items":[%s],%s}' % (b",".join(part.bodies), head))

    def _existing(self, kind: str, record_id: str) -> int:
        if int(record_id) not in self.kinds[kind]:
            raise Refused(404, "not_found", f"no such record in {kind}")
        return int(record_id)

    def _get(self, _request: Request, kind: str, record_id: str) -> Answer:
        return json_answer(200, self.kinds[kind].entry(self._existing(kind, record_id)).body)

    def _post(self, request: Request, kind: str) -> Answer:
        return self.idempotency.once(request, lambda: json_answer(201, self._add(kind, _known(kind, request.json()))))

    def _patch(self, request: Request, kind: str, record_id: str) -> Answer:
        number = self._existing(kind, record_id)
        return self.idempotency.once(request, lambda: json_answer(200, self._patched(kind, number, request)))

    def _patched(self, kind: str, number: int, request: Request) -> Json:
        change = _known(kind, request.json())
        if kind == "orders" and ({"lines", "customer_id", "currency"} & set(change)):
            raise Refused(409, "confirmed", "a confirmed order keeps its customer and lines")
        if kind != "orders" or change.get("state") is None:
            return self.change(kind, number, **change)
        if change["state"] != "cancelled":
            raise Refused(422, "invalid_state", "an order can only be cancelled from outside", {"fields": ["state"]})
        return self.cancel(number)


def _totals(lines: Sequence[Json]) -> Json:
    untaxed = sum((Decimal(line["amount"]) for line in lines), Decimal(0))
    tax = (untaxed * TAX).quantize(CENT)
    return {"total_untaxed": str(untaxed), "total_tax": str(tax), "total": str(untaxed + tax)}


def _registered(customer: Json, now: datetime) -> Json:
    """Return the code and the day of the registration that a customer gets with its first change as no prospect."""
    if customer.get("code") or customer.get("role") == "prospect":
        return {}
    return {"code": f"CU-{customer['id']:05}", "registered_on": customer.get("registered_on") or f"{now:%Y-%m-%d}"}


def _shipment(whole: bool) -> str:
    return "shipped" if whole else "partial"


def _known(kind: str, body: Json) -> Json:
    unknown = sorted(set(body) - FIELDS[kind])
    if unknown:
        raise Refused(422, "unknown_field", f"unknown: {', '.join(unknown)}", {"fields": unknown})
    return body


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _since(request: Request) -> tuple[datetime, int] | None:
    text = request.query.get("updated_since")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise Refused(400, "invalid_parameter", "updated_since is not an instant") from error
    if at.tzinfo is None:
        raise Refused(400, "invalid_parameter", "updated_since has no zone")
    return at, _BEFORE_ALL
