"""The simulated shop: WooCommerce REST v3 with Subscriptions, as far as integrations use it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from erpcrm_orchestration.demo import shop_payload as payload
from erpcrm_orchestration.demo.collection import Entry, Order
from erpcrm_orchestration.demo.message import Answer, Json, Refused, Request, json_answer
from erpcrm_orchestration.demo.shop_state import FACETS, KINDS, ShopState
from erpcrm_orchestration.demo.shop_subscriptions import transitioned
from erpcrm_orchestration.domain.clock import Clock

ROOT = "/wp-json/wc/v3"
SORTS: Mapping[str, Mapping[str, Order]] = {
    "customers": {"id": "id", "registered_date": "created"},
    "products": {"id": "id", "date": "created", "modified": "modified"},
    "products/categories": {"id": "id"},
    "orders": {"id": "id", "date": "created", "modified": "modified"},
    "subscriptions": {"id": "id", "date": "created"},
    "webhooks": {"id": "id", "date": "created"},
}
"""What a list may be ordered by; without `modified` there is no modified_after either."""
_FIELDS = "status set_paid transition_status meta_data transaction_id customer_note billing shipping name email first_name "
WRITABLE = frozenset((_FIELDS + "last_name regular_price price stock_quantity sku parent delivery_url secret topic").split())


class Shop(ShopState):
    """The shop over HTTP. `most` is the greatest per_page; WooCommerce's own is 100. `writes` are the requests that change."""

    def __init__(
        self,
        *,
        key: str = "ck_demo",
        secret: str = "cs_demo",  # noqa: S107 - of a simulation
        most: int = 100,
        clock: Clock | None = None,
        seed: int = 998,
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        self.most = most
        self.writes: list[tuple[str, str, Json]] = []
        self._authorization = "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()
        kinds = "|".join(sorted(KINDS, key=len, reverse=True))
        self.route("GET", f"{ROOT}/({kinds})", self._list)
        self.route("POST", f"{ROOT}/({kinds})", self._create)
        self.route("GET", f"{ROOT}/({kinds})/([0-9]+)", self._get)
        self.route("PUT", f"{ROOT}/({kinds})/([0-9]+)", self._update)
        self.route("POST", f"{ROOT}/({kinds})/([0-9]+)", self._update)
        self.route("DELETE", f"{ROOT}/({kinds})/([0-9]+)", self._delete)
        self.route("GET", f"{ROOT}/subscriptions/([0-9]+)/orders", self._subscription_orders)

    def authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != self._authorization:
            raise Refused(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")

    def refusal(self, refused: Refused) -> Answer:
        body = {"code": refused.code, "message": refused.message, "data": {"status": refused.status, **refused.more}}
        return json_answer(refused.status, body)

    def _list(self, request: Request, kind: str) -> Answer:
        size = request.number("per_page", 10, least=1, most=self.most)
        page = request.number("page", 1, least=1)
        offset = request.number("offset", (page - 1) * size)
        sorts = SORTS[kind]
        orderby = request.query.get("orderby", "date" if "date" in sorts else "id")
        order = request.query.get("order", "asc" if kind in {"customers", "products/categories"} else "desc")
        if orderby not in sorts or order not in {"asc", "desc"}:
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): orderby, order")
        # WordPress ignores a parameter that a list does not have.
        can_modified = "modified" in sorts
        part = self.kinds[kind].list(
            sorts[orderby] if not (can_modified and self._dates(request)) else "modified",
            descending=order == "desc",
            offset=offset,
            limit=size,
            after=self._after(request, can_modified),
            before=self._date(request, "modified_before") if can_modified else None,
            where=self._where(request, kind),
        )
        pages = -(-part.total // size)
        headers = {"X-WP-Total": str(part.total), "X-WP-TotalPages": str(pages), **_links(request, page, pages)}
        return json_answer(200, b"[" + b",".join(part.bodies) + b"]", headers)

    def _dates(self, request: Request) -> bool:
        return bool({"modified_after", "modified_before"} & set(request.query))

    def _after(self, request: Request, can_modified: bool) -> tuple[datetime, int] | None:
        after = self._date(request, "modified_after") if can_modified else None
        # Strictly after, in whole seconds: what changed in the same second is not in the list.
        return None if after is None else (after, 1 << 62)

    def _date(self, request: Request, name: str) -> datetime | None:
        text = request.query.get(name)
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(text.replace(" ", "+"))
        except ValueError as error:
            raise Refused(400, "rest_invalid_param", f"Invalid parameter(s): {name}") from error
        zone = UTC if request.query.get("dates_are_gmt") in {"true", "1"} else self.zone
        return at if at.tzinfo is not None else at.replace(tzinfo=zone)

    def _where(self, request: Request, kind: str) -> dict[str, set[str]]:
        asked = {name: set(request.query[name].split(",")) for name in FACETS[kind] if request.query.get(name)}
        return {name: words for name, words in asked.items() if words != {"any"}}

    def _get(self, _request: Request, kind: str, record_id: str) -> Answer:
        return json_answer(200, self._entry(kind, record_id).body)

    def _entry(self, kind: str, record_id: str) -> Entry:
        if int(record_id) not in self.kinds[kind]:
            raise Refused(404, f"woocommerce_rest_{kind.rpartition('/')[2]}_invalid_id", "Invalid ID.")
        return self.kinds[kind].entry(int(record_id))

    def _subscription_orders(self, _request: Request, record_id: str) -> Answer:
        self._entry("subscriptions", record_id)
        orders = (self.order(order_id) for order_id in self.orders)
        found = [{**one, "order_type": "renewal_order"} for one in orders if _subscription_of(one) == record_id]
        return json_answer(200, found)

    def _create(self, request: Request, kind: str) -> Answer:
        body = request.json()
        self.writes.append(("POST", kind, body))
        if kind == "webhooks":
            return json_answer(201, self.new_webhook(body))
        makers = {"customers": self._posted_customer, "orders": self._posted_order, "products": self._posted_product}
        if kind not in makers:
            raise Refused(405, "rest_no_route", "this simulated shop creates no such record over HTTP")
        record = makers[kind](body)
        changes = self._changes(kind, record, {name: value for name, value in body.items() if name in WRITABLE})
        return json_answer(201, self.change(kind, record["id"], **changes) if changes else record)

    def _posted_customer(self, body: Json) -> Json:
        email = str(body.get("email", ""))
        if "@" not in email:
            raise Refused(400, "rest_missing_callback_param", "Missing parameter(s): email")
        if self.kinds["customers"].list("id", where={"email": {email}}).total:
            raise Refused(400, "registration-error-email-exists", "An account is already registered with your email address.")
        return self.add_customer(**{**body.get("billing", {}), "email": email})

    def _posted_order(self, body: Json) -> Json:
        lines = [(int(line["product_id"]), int(line.get("quantity", 1))) for line in body.get("line_items", [])]
        unknown = [product_id for product_id, _ in lines if product_id not in self.kinds["products"]]
        if unknown:
            raise Refused(400, "woocommerce_rest_invalid_product_id", f"Product ID {unknown[0]} is invalid.")
        return self.add_order(lines, customer_id=int(body.get("customer_id", 0)), status="pending")

    def _posted_product(self, body: Json) -> Json:
        return self.add_product(
            str(body.get("name", "")), str(body.get("regular_price") or "0.00"), sku=str(body.get("sku", ""))
        )

    def _update(self, request: Request, kind: str, record_id: str) -> Answer:
        self._entry(kind, record_id)
        body = request.json()
        self.writes.append((request.method, f"{kind}/{record_id}", body))
        record = self.kinds[kind].record(int(record_id))
        asked = {name: value for name, value in body.items() if name in WRITABLE}
        if kind == "webhooks":
            self.take_webhook({**record, **asked})
        return json_answer(200, self.change(kind, int(record_id), **self._changes(kind, record, asked)))

    def _changes(self, kind: str, record: Json, asked: Json) -> Json:
        changes = dict(asked)
        for name in {"billing", "shipping"} & set(asked):
            changes[name] = {**record[name], **asked[name]}
        if "meta_data" in asked:
            changes["meta_data"] = _merged_meta(record["meta_data"], asked["meta_data"], record["id"])
        if changes.pop("set_paid", False) and kind == "orders":
            changes = {"status": "processing", **changes, **payload.stamp("date_paid", self.now(), self.zone)}
        if kind == "orders" and "status" in changes:
            changes |= self._status(record, str(changes["status"]))
        if kind == "subscriptions":
            changes = transitioned(record, changes, self.now(), self.zone)
        return changes

    def _status(self, record: Json, status: str) -> Json:
        if status not in payload.ORDER_STATUSES:
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): status")
        if status == "completed" and record["date_completed"] is None:
            return payload.stamp("date_completed", self.now(), self.zone)
        return {}

    def _delete(self, request: Request, kind: str, record_id: str) -> Answer:
        body = self._entry(kind, record_id).body
        force = request.query.get("force") == "true"
        if not force and kind not in {"orders", "products", "subscriptions"}:
            raise Refused(501, "woocommerce_rest_trash_not_supported", "The resource does not support trashing.")
        self.delete(kind, int(record_id), force=force)
        return json_answer(200, body)


def _subscription_of(order: Json) -> str | None:
    return next((str(one["value"]) for one in order["meta_data"] if one["key"] == "_subscription_renewal"), None)


def _merged_meta(old: Sequence[Json], new: Sequence[Json], record_id: int) -> list[Json]:
    merged = {one["key"]: one for one in old}
    free = max((one["id"] for one in old), default=record_id * 10_000 + 9_000)
    for one in new:
        free += one["key"] not in merged
        merged[one["key"]] = {"id": merged.get(one["key"], {"id": free})["id"], "key": one["key"], "value": one["value"]}
    return [one for one in merged.values() if one["value"] is not None]


def _links(request: Request, page: int, pages: int) -> dict[str, str]:
    base = f"http://{request.headers.get('host', '127.0.0.1')}{request.path}"
    around = {"prev": page - 1 if page > 1 else 0, "next": page + 1 if page < pages else 0}
    links = [
        f'<{base}?{urlencode({**request.query, "page": number})}>; rel="{name}"' for name, number in around.items() if number
    ]
    return {"Link": ", ".join(links)} if links else {}
