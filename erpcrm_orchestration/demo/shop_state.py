"""The records of the simulated shop, and what shoppers and shop keepers do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from erpcrm_orchestration.demo import shop_payload as payload
from erpcrm_orchestration.demo.collection import Collection, Entry
from erpcrm_orchestration.demo.message import Json
from erpcrm_orchestration.demo.shop_payload import Basket, Item
from erpcrm_orchestration.demo.shop_subscriptions import created_subscription
from erpcrm_orchestration.demo.web import WebSystem
from erpcrm_orchestration.demo.webhooks import Webhook, WebhookSender
from erpcrm_orchestration.domain.clock import Clock

KINDS = ("customers", "products", "products/categories", "orders", "subscriptions", "webhooks")
FACETS: Mapping[str, tuple[str, ...]] = {
    "customers": ("email",),
    "products": ("sku", "status"),
    "products/categories": ("parent", "slug"),
    "orders": ("status", "customer"),
    "subscriptions": ("status", "customer"),
    "webhooks": ("status",),
}
TOPICS: Mapping[str, str] = {"customers": "customer", "products": "product", "orders": "order", "subscriptions": "subscription"}


class ShopState(WebSystem):
    """A shop whose naive dates are in `zone`. Its methods do what shoppers and shop keepers do."""

    def __init__(
        self, *, zone: str = "Europe/Paris", currency: str = "EUR", clock: Clock | None = None, seed: int = 998
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        self.zone = ZoneInfo(zone)
        self.currency = currency
        self.kinds = {kind: Collection() for kind in KINDS}
        self.webhooks = WebhookSender(self.faults, self._webhook_changed, "https://shop.meridian.example/")

    # What people do.

    def add_customer(self, **values: str) -> Json:
        """Add a customer; `values` are names, e-mail and the parts of the address."""
        with self.lock:
            return self._add("customers", payload.customer(self.kinds["customers"].next_id(), values))

    def add_category(self, name: str, parent: int = 0) -> Json:
        """Add a category below its parent."""
        with self.lock:
            return self._add("products/categories", payload.category(self.kinds["products/categories"].next_id(), name, parent))

    def add_product(self, name: str, price: str = "10.00", *, sku: str = "", categories: Sequence[Json] = ()) -> Json:
        """Add a product."""
        with self.lock:
            new = self.kinds["products"].next_id()
            return self._add(
                "products", payload.product(new, name, Decimal(price), sku=sku or f"SKU-{new:05}", categories=categories)
            )

    def add_order(
        self,
        lines: Sequence[tuple[int, int]],
        *,
        customer_id: int = 0,
        basket: Basket | None = None,
        status: str = "processing",
        at: datetime | None = None,
        order_id: int | None = None,
        **changes: object,
    ) -> Json:
        """Place an order of (product id, quantity); `changes` are put over the finished record as they are."""
        with self.lock:
            new = order_id or self.kinds["orders"].next_id()
            whole = self._basket(lines, customer_id, basket)
            record = payload.order(new, whole, customer_id=customer_id, status=status, currency=self.currency)
            return self._add("orders", {**record, **changes}, at)

    def change_order(self, order_id: int, *, lines: Sequence[tuple[int, int]] | None = None, **changes: object) -> Json:
        """Change an order; `lines` replaces them and the totals, lines of the same product keep their ids."""
        with self.lock:
            record = self.kinds["orders"].record(order_id)
            if lines is not None:
                changes = {**self._new_parts(record, lines), **changes}
            return self.change("orders", order_id, **changes)

    def change(self, kind: str, record_id: int, **changes: object) -> Json:
        """Change top-level fields of a record of `kind`, one of KINDS, and send its webhook."""
        with self.lock:
            entry = self.kinds[kind].entry(record_id)
            record = {**self.kinds[kind].record(record_id), **changes}
            return self._keep(kind, record, entry, "updated")

    def spoil(self, kind: str, record_id: int, *, without: Sequence[str] = (), **changes: object) -> None:
        """Serve a wrong record: fields are left out or replaced, the list still has it as changed now."""
        with self.lock:
            entry = replace(self.kinds[kind].entry(record_id), modified=self.now())
            whole = {
                **self.kinds[kind].record(record_id),
                **payload.stamp("date_modified", entry.modified, self.zone),
                **changes,
            }
            self.kinds[kind].put(record_id, {name: value for name, value in whole.items() if name not in without}, entry)

    def add_subscription(self, lines: Sequence[tuple[int, int]], *, customer_id: int, **settings: object) -> Json:
        """Start a subscription; `settings` replace fields such as billing_period and billing_interval."""
        with self.lock:
            new = self.kinds["orders"].next_id()
            basket = self._basket(lines, customer_id, None)
            record = payload.order(new, basket, customer_id=customer_id, status="active", currency=self.currency)
            return self._add("subscriptions", created_subscription({**record, **settings}, self.now(), self.zone))

    def delete(self, kind: str, record_id: int, *, force: bool = True) -> None:
        """Delete a record; without force an order goes to the trash."""
        with self.lock:
            if not force:
                self.change(kind, record_id, status="trash")
            else:
                self.kinds[kind].remove(record_id)
                self.webhooks.forget(record_id if kind == "webhooks" else -1)
            self._tell(kind, "deleted", b'{"id":%d}' % record_id)

    def add_webhook(self, topic: str, delivery_url: str, secret: str) -> Json:
        """Subscribe an address to a topic."""
        with self.lock:
            record = {"topic": topic, "delivery_url": delivery_url, "secret": secret, "status": "active"}
            return self.new_webhook(record)

    def order(self, order_id: int) -> Json:
        """Return an order as it is served."""
        with self.lock:
            return self.kinds["orders"].record(order_id)

    @property
    def orders(self) -> Collection:
        """All orders."""
        return self.kinds["orders"]

    def now(self) -> datetime:
        """Return the shop's instant, in whole seconds, as WordPress keeps them."""
        return self.clock.now().replace(microsecond=0)

    def disturb(self) -> None:
        with self.lock:
            oldest = self.kinds["orders"].oldest_changed()
            if oldest is not None:
                self.change("orders", oldest, customer_note="changed while it was listed")

    def stop(self) -> None:
        """End what runs in the background."""
        self.webhooks.stop()

    # How records are kept.

    def _basket(self, lines: Sequence[tuple[int, int]], customer_id: int, basket: Basket | None) -> Basket:
        products, customers = self.kinds["products"], self.kinds["customers"]
        items = tuple(
            Item(products.record(product_id) if product_id in products else {"id": product_id}, quantity)
            for product_id, quantity in lines
        )
        basket = replace(basket or Basket(), items=items)
        if basket.billing or customer_id not in customers:
            return basket
        known = customers.record(customer_id)
        return replace(basket, billing=known["billing"], shipping_to=known["shipping"])

    def _new_parts(self, record: Json, lines: Sequence[tuple[int, int]]) -> Json:
        parts = payload.parts(self._basket(lines, 0, None), record["id"] * 10_000)
        ids = {line["product_id"]: line["id"] for line in record["line_items"]}
        free = max(ids.values(), default=record["id"] * 10_000)
        for line in parts["line_items"]:
            free += line["product_id"] not in ids
            line["id"] = ids.get(line["product_id"], free)
        return parts

    def _add(self, kind: str, record: Json, at: datetime | None = None) -> Json:
        created = at or self.now()
        dates = {} if kind == "products/categories" else payload.stamp("date_created", created, self.zone)
        paid = created if record.get("status") in {"processing", "completed"} and kind == "orders" else None
        if kind == "orders":
            dates |= payload.stamp("date_paid", paid, self.zone) | payload.stamp("date_completed", None, self.zone)
        return self._keep(kind, {**dates, **record}, Entry(b"", created, created), "created", at)

    def _keep(self, kind: str, record: Json, entry: Entry, event: str, at: datetime | None = None) -> Json:
        modified = at or self.now()
        if kind != "products/categories":
            record = {**record, **payload.stamp("date_modified", modified, self.zone)}
        values = {**record, "customer": record.get("customer_id")}
        facets = {name: str(values.get(name)) for name in FACETS[kind]}
        entry = replace(entry, modified=modified, facets=facets, hidden=record.get("status") == "trash")
        self.kinds[kind].put(record["id"], record, entry)
        self._tell(kind, event, self.kinds[kind].entry(record["id"]).body)
        return record

    def _tell(self, kind: str, event: str, body: bytes) -> None:
        if kind in TOPICS:
            self.webhooks.send(f"{TOPICS[kind]}.{event}", body)

    # Webhooks.

    def new_webhook(self, body: Json) -> Json:
        """Add a webhook from what was posted."""
        record = {
            "id": self.kinds["webhooks"].next_id(),
            "name": str(body.get("name", "")),
            "status": str(body.get("status", "active")),
            "topic": str(body.get("topic", "")),
            "delivery_url": str(body.get("delivery_url", "")),
        }
        self.take_webhook({**record, "secret": body.get("secret", "")})
        return self._add("webhooks", record)

    def take_webhook(self, record: Json) -> None:
        """Take over what a webhook is to be; without a secret it keeps the one it has."""
        secret = str(record.pop("secret", "")) or self.webhooks.secret(record["id"])
        self.webhooks.keep(Webhook(record["id"], record["topic"], record["delivery_url"], secret, record["status"]))

    def _webhook_changed(self, hook: Webhook) -> None:
        with self.lock:
            if hook.webhook_id in self.kinds["webhooks"]:
                self.change("webhooks", hook.webhook_id, status=hook.status)
