"""The shapes of the shop's records, field by field as WooCommerce REST v3 and its Subscriptions extension give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from erpcrm_orchestration.demo.message import Json

TAX_RATE = Decimal("0.20")
CENT = Decimal("0.01")
ADDRESS = ("first_name", "last_name", "company", "address_1", "address_2", "city", "state", "postcode", "country")
ORDER_STATUSES = frozenset(
    {"pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed", "trash", "checkout-draft"}
)


@dataclass(frozen=True)
class Item:
    """A line to be ordered; `product` is the product's record, or only {"id": n} for one that the shop has lost."""

    product: Mapping[str, object]
    quantity: int = 1


@dataclass(frozen=True)
class Basket:
    """What an order is made of, in the currency of the shop and without tax."""

    items: Sequence[Item] = ()
    shipping: Decimal = Decimal("5.00")
    fee: Decimal | None = None
    coupon: tuple[str, Decimal] | None = None
    billing: Mapping[str, str] = field(default_factory=dict)
    shipping_to: Mapping[str, str] | None = None


def money(amount: Decimal) -> str:
    """Return the amount with two digits after the point."""
    return str(amount.quantize(CENT, ROUND_HALF_UP))


def tax(amount: Decimal) -> Decimal:
    """Return the tax on an amount, rounded to cents."""
    return (amount * TAX_RATE).quantize(CENT, ROUND_HALF_UP)


def stamp(name: str, at: datetime | None, zone: ZoneInfo) -> Json:
    """Return the pair `name` in the shop's time and `name_gmt`, both without a zone."""
    if at is None:
        return {name: None, f"{name}_gmt": None}
    return {name: _naive(at.astimezone(zone)), f"{name}_gmt": _naive(at.astimezone(UTC))}


def _naive(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def address(values: Mapping[str, str], *, billing: bool) -> Json:
    """Return a whole address; billing has an e-mail, shipping only a telephone number."""
    names = (*ADDRESS, "email", "phone") if billing else (*ADDRESS, "phone")
    return {name: values.get(name, "") for name in names}


def meta(pairs: Iterable[tuple[str, object]], first_id: int) -> list[Json]:
    """Return meta data with ids that follow each other."""
    return [{"id": first_id + number, "key": key, "value": value} for number, (key, value) in enumerate(pairs)]


def order(order_id: int, basket: Basket, *, customer_id: int, status: str, currency: str) -> Json:
    """Return an order without its dates, which the shop stamps."""
    # Ten thousand line ids belong to an order, so that no two orders share one.
    first = order_id * 10_000
    record: Json = {
        "id": order_id,
        "parent_id": 0,
        "number": str(order_id),
        "order_key": f"wc_order_{order_id:013x}",
        "created_via": "checkout",
        "version": "10.4.2",
        "status": status,
        "currency": currency,
        "prices_include_tax": False,
        "customer_id": customer_id,
        "customer_ip_address": "127.0.0.1",
        "customer_user_agent": "Mozilla/5.0",
        "customer_note": "",
        "billing": address(basket.billing, billing=True),
        "shipping": address(basket.shipping_to or basket.billing, billing=False),
        "payment_method": "bacs",
        "payment_method_title": "Bank transfer",
        "transaction_id": "",
        "cart_hash": f"{order_id:032x}",
        "meta_data": meta([("_source", "web")], first + 9_000),
        "refunds": [],
        "payment_url": "",
        "currency_symbol": "€",
    }
    return {**record, **parts(basket, first)}


def parts(basket: Basket, first: int) -> Json:
    """Return the lines, taxes, shipping, fees and coupons, and the totals that follow from them."""
    discount = basket.coupon[1] if basket.coupon else Decimal(0)
    shares = _shares(basket.items, discount)
    lines = [line(first + number, item, shares[number - 1]) for number, item in enumerate(basket.items, 1)]
    fees = [] if basket.fee is None else [fee(first + 3_000, basket.fee)]
    shipping = [shipping_line(first + 2_000, basket.shipping)] if basket.shipping else []
    return {
        "line_items": lines,
        "shipping_lines": shipping,
        "fee_lines": fees,
        "coupon_lines": [] if basket.coupon is None else [coupon(first + 4_000, *basket.coupon)],
        "tax_lines": [tax_line(first + 1_000, lines, fees, shipping)],
        **totals(lines, fees, shipping, discount),
    }


def totals(lines: Sequence[Json], fees: Sequence[Json], shipping: Sequence[Json], discount: Decimal) -> Json:
    """Return the header's totals; the discount is off the lines already."""
    cart = _sum(lines, "total") + _sum(fees, "total")
    cart_tax = _sum(lines, "total_tax") + _sum(fees, "total_tax")
    freight, freight_tax = _sum(shipping, "total"), _sum(shipping, "total_tax")
    return {
        "discount_total": money(discount),
        "discount_tax": money(_sum(lines, "subtotal_tax") - _sum(lines, "total_tax")),
        "shipping_total": money(freight),
        "shipping_tax": money(freight_tax),
        "cart_tax": money(cart_tax),
        "total": money(cart + cart_tax + freight + freight_tax),
        "total_tax": money(cart_tax + freight_tax),
    }


def _shares(items: Sequence[Item], discount: Decimal) -> list[Decimal]:
    """Spread a discount over the lines by their amounts; the last line takes what rounding leaves."""
    amounts = [price(item) * item.quantity for item in items]
    whole = sum(amounts, Decimal(0)) or Decimal(1)
    shares = [(discount * amount / whole).quantize(CENT, ROUND_HALF_UP) for amount in amounts]
    return [*shares[:-1], discount - sum(shares[:-1], Decimal(0))]


def price(item: Item) -> Decimal:
    """Return the price of one piece without tax."""
    return Decimal(str(item.product.get("price") or "10.00"))


def _sum(rows: Sequence[Json], name: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


def _taxes(amount: Decimal, before: Decimal | None = None) -> list[Json]:
    return [{"id": 1, "total": money(tax(amount)), "subtotal": money(tax(amount if before is None else before))}]


def line(line_id: int, item: Item, discount: Decimal = Decimal(0)) -> Json:
    """Return an order line; its totals are after the discount, its subtotals before."""
    before = price(item) * item.quantity
    amount = before - discount
    return {
        "id": line_id,
        "name": item.product.get("name", "gone"),
        "product_id": item.product["id"],
        "variation_id": 0,
        "quantity": item.quantity,
        "tax_class": "",
        "subtotal": money(before),
        "subtotal_tax": money(tax(before)),
        "total": money(amount),
        "total_tax": money(tax(amount)),
        "taxes": _taxes(amount, before),
        "meta_data": [],
        "sku": item.product.get("sku", ""),
        # The one amount that WooCommerce gives as a number.
        "price": float(price(item)),
        "image": {"id": "", "src": ""},
        "parent_name": None,
    }


def tax_line(line_id: int, lines: Sequence[Json], fees: Sequence[Json], shipping: Sequence[Json]) -> Json:
    """Return the one tax rate with the sums of what it took."""
    return {
        "id": line_id,
        "rate_code": "FR-TVA-1",
        "rate_id": 1,
        "label": "TVA",
        "compound": False,
        "tax_total": money(_sum(lines, "total_tax") + _sum(fees, "total_tax")),
        "shipping_tax_total": money(_sum(shipping, "total_tax")),
        "rate_percent": 20,
        "meta_data": [],
    }


def shipping_line(line_id: int, amount: Decimal) -> Json:
    """Return a shipping line at a flat rate."""
    return {
        "id": line_id,
        "method_title": "Flat rate",
        "method_id": "flat_rate",
        "instance_id": "1",
        "total": money(amount),
        "total_tax": money(tax(amount)),
        "taxes": _taxes(amount),
        "meta_data": [],
    }


def fee(line_id: int, amount: Decimal) -> Json:
    """Return a fee line."""
    return {
        "id": line_id,
        "name": "Handling",
        "tax_class": "",
        "tax_status": "taxable",
        "amount": money(amount),
        "total": money(amount),
        "total_tax": money(tax(amount)),
        "taxes": _taxes(amount),
        "meta_data": [],
    }


def coupon(line_id: int, code: str, amount: Decimal) -> Json:
    """Return a coupon line."""
    return {"id": line_id, "code": code, "discount": money(amount), "discount_tax": money(tax(amount)), "meta_data": []}


def customer(customer_id: int, values: Mapping[str, str]) -> Json:
    """Return a customer whose addresses are made from the same values."""
    return {
        "id": customer_id,
        "email": values.get("email", f"client{customer_id}@example.com"),
        "first_name": values.get("first_name", ""),
        "last_name": values.get("last_name", ""),
        "role": "customer",
        "username": values.get("username", f"client{customer_id}"),
        "billing": address(values, billing=True),
        "shipping": address(values, billing=False),
        "is_paying_customer": False,
        "avatar_url": "",
        "meta_data": [],
    }


def category(category_id: int, name: str, parent: int) -> Json:
    """Return a category; parent 0 is a root."""
    return {
        "id": category_id,
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "parent": parent,
        "description": "",
        "display": "default",
        "image": None,
        "menu_order": 0,
        "count": 0,
    }


def product(product_id: int, name: str, price: Decimal, *, sku: str, categories: Sequence[Json] = ()) -> Json:
    """Return a simple product."""
    return {
        "id": product_id,
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "type": "simple",
        "status": "publish",
        "featured": False,
        "description": "",
        "short_description": "",
        "sku": sku,
        "price": money(price),
        "regular_price": money(price),
        "sale_price": "",
        "on_sale": False,
        "virtual": False,
        "tax_status": "taxable",
        "tax_class": "",
        "manage_stock": True,
        "stock_quantity": 100,
        "stock_status": "instock",
        "weight": "1",
        "dimensions": {"length": "", "width": "", "height": ""},
        "parent_id": 0,
        "categories": [{"id": one["id"], "name": one["name"], "slug": one["slug"]} for one in categories],
        "tags": [],
        "images": [],
        "attributes": [
            {"id": 1, "name": "Colour", "position": 0, "visible": True, "variation": False, "options": ["white", "grey"]}
        ],
        "variations": [],
        "meta_data": [],
    }
