"""The entities that every system is mapped to: their fields, what they refer to, and the rows that belong to them.

The tables of schema `hub` hold exactly these (a test proves it); the mapping of a connector is checked against them.
Sources of the model: the WooCommerce entities with headers, lines and relations, the interventions, time entries and
documents that a CRM hands to an ERP, and what a CRM knows of its accounts; all in third normal form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """How the supervision counts a record that is not integrated; the words are those of the data hub's datasets."""

    INTERVENTION = "INTERVENTION"
    TIME = "TIME"
    DOCUMENT = "DOCUMENT"


class Kind(StrEnum):
    """What a field holds. A REFERENCE is given as the other system's id, an ADDRESS as a mapping of its own fields."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    INSTANT = "instant"
    DATE = "date"
    BOOLEAN = "boolean"
    CURRENCY = "currency"
    JSON = "json"
    REFERENCE = "reference"
    ADDRESS = "address"


@dataclass(frozen=True)
class Field:
    """`refers_to` names the entity of a REFERENCE."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = False
    refers_to: str | None = None

    @property
    def column(self) -> str:
        """The column that holds it: a reference holds our id, an address its content hash."""
        match self.kind:
            case Kind.REFERENCE:
                return f"{self.name}_id"
            case Kind.ADDRESS:
                return f"{self.name}_hash"
            case _:
                return self.name


@dataclass(frozen=True)
class Child:
    """Rows that belong to one record and are replaced with it. `table` is in schema hub.

    Its key is the dossier, the owner's id and `key`: the row's own id at the source, else made from its content.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    key: str = "line_key"


@dataclass(frozen=True)
class Entity:
    """`name` is the word in mappings and commands; `table` is in schema hub; `identity` is its id column."""

    name: str
    table: str
    identity: str
    fields: tuple[Field, ...]
    children: tuple[Child, ...] = ()
    tree: str | None = None
    """The field that refers to the same entity, when its rows form a tree."""
    category: Category | None = None
    """What the supervision counts its records as; None is not counted there."""

    def field(self, name: str) -> Field | None:
        """Return the field of this name, or None."""
        return next((one for one in self.fields if one.name == name), None)

    def child(self, name: str) -> Child | None:
        """Return the child of this name, or None."""
        return next((one for one in self.children if one.name == name), None)

    @property
    def references(self) -> Iterator[Field]:
        """The fields, of the record and its children, that refer to other records."""
        for one in (*self.fields, *(field for child in self.children for field in child.fields)):
            if one.kind is Kind.REFERENCE:
                yield one


def _text(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name) for name in names)


def _money(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.DECIMAL) for name in names)


def _at(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.INSTANT) for name in names)


ADDRESS_FIELDS = (
    "first_name", "last_name", "company", "line_1", "line_2", "postcode", "city", "region", "country", "email", "phone",
)  # fmt: skip
"""An address is its content: equal ones of a dossier are one row, keyed by the hash of these texts in this order."""

META = Child("meta", "entity_meta", (Field("key", required=True), Field("value", Kind.JSON)), key="entry_key")
"""Open key-value pairs of any entity; their value is the one place where JSON stays."""

EMPLOYEE = Entity(
    "employee", "employee", "employee_id",
    (*_text("code", "name", "email"), Field("active", Kind.BOOLEAN), *_at("created_at")),
)  # fmt: skip
"""A person of the company who is responsible for customers and for what is done for them."""

CUSTOMER = Entity(
    "customer", "customer", "customer_id",
    (
        # `code` is the ERP's: a customer that the ERP does not have has none.
        *_text("code", "email", "first_name", "last_name", "company", "phone", "tax_number", "language"),
        Field("billing_address", Kind.ADDRESS),
        Field("shipping_address", Kind.ADDRESS),
        # lead or account; class_code is the word of the class that it is in
        *_text("second_email", "type", "class_code"),
        # The day of its registration in the ERP.
        *(Field(name, Kind.DATE) for name in ("birth_date", "registered_on")),
        Field("responsible", Kind.REFERENCE, refers_to="employee"),
        # When the account last changed at its system.
        *_at("created_at", "changed_at"),
    ),
    (META,),
)  # fmt: skip

CONTACT = Entity(
    "contact", "contact", "contact_id",
    (
        *_text("code", "first_name", "last_name", "email", "phone", "title"),
        Field("birth_date", Kind.DATE),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        *_at("created_at", "changed_at"),
    ),
    (META,),
)  # fmt: skip
"""A person who is spoken with at a customer."""

CATEGORY = Entity(
    "category", "product_category", "category_id",
    (*_text("name", "slug"), Field("parent", Kind.REFERENCE, refers_to="category")),
    (META,),
    tree="parent",
)  # fmt: skip

PRODUCT = Entity(
    "product", "product", "product_id",
    (
        *_text("sku", "name", "type", "status", "unit"),
        *_money("price", "regular_price"),
        Field("stock_quantity", Kind.DECIMAL),
        Field("parent", Kind.REFERENCE, refers_to="product"),
        *_at("created_at"),
    ),
    (
        Child("categories", "product_category_link", (Field("category", Kind.REFERENCE, True, "category"),)),
        Child("attributes", "product_attribute_value", (Field("name", required=True), Field("value"))),
        META,
    ),
    tree="parent",
)  # fmt: skip

_LINE = (
    Field("product", Kind.REFERENCE, refers_to="product"),
    *_text("sku", "name", "unit"),
    Field("quantity", Kind.DECIMAL, required=True),
    Field("unit_price", Kind.DECIMAL),
    *_money("subtotal", "total", "tax_total"),
)

ORDER = Entity(
    "order", "order_header", "order_id",
    (
        *_text("number", "status", "state"),
        Field("currency", Kind.CURRENCY),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        Field("parent", Kind.REFERENCE, refers_to="order"),
        Field("billing_address", Kind.ADDRESS),
        Field("shipping_address", Kind.ADDRESS),
        *_money("total", "tax_total", "discount_total", "shipping_total"),
        *_text("payment_method", "customer_note", "logistic_state", "financial_state"),
        *_at("ordered_at", "paid_at", "completed_at"),
    ),
    (
        Child("lines", "order_line", _LINE),
        Child("tax_lines", "order_tax_line", (*_text("rate_code", "label"), *_money("tax_total", "shipping_tax_total"))),
        Child("shipping_lines", "order_shipping_line", (*_text("method", "title"), *_money("total", "tax_total"))),
        Child("fee_lines", "order_fee_line", (*_text("name"), *_money("total", "tax_total"))),
        Child("coupons", "order_coupon", (Field("code", required=True), *_money("discount", "discount_tax"))),
        Child("refunds", "order_refund", (*_text("reason"), *_money("total"))),
        META,
    ),
    tree="parent",
)  # fmt: skip

SUBSCRIPTION = Entity(
    "subscription", "subscription", "subscription_id",
    (
        *_text("number", "status", "state"),
        Field("currency", Kind.CURRENCY),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        Field("parent_order", Kind.REFERENCE, refers_to="order"),
        Field("resubscribed_from", Kind.REFERENCE, refers_to="subscription"),
        Field("billing_address", Kind.ADDRESS),
        Field("shipping_address", Kind.ADDRESS),
        *_text("billing_period"),
        Field("billing_interval", Kind.INTEGER),
        *_money("total"),
        *_at("started_at", "trial_ends_at", "next_payment_at", "last_payment_at", "ends_at", "cancelled_at"),
        *_text("logistic_state", "financial_state"),
    ),
    (
        Child("lines", "subscription_line", _LINE),
        Child(
            "orders", "order_subscription", (Field("order", Kind.REFERENCE, True, "order"), Field("relation", required=True))
        ),
        META,
    ),
    tree="resubscribed_from",
)  # fmt: skip

INTERVENTION = Entity(
    "intervention", "intervention", "intervention_id",
    (
        *_text("number", "subject", "type", "priority", "status", "state", "technician", "report"),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        Field("order", Kind.REFERENCE, refers_to="order"),
        Field("site_address", Kind.ADDRESS),
        *_at("planned_start_at", "planned_end_at", "started_at", "ended_at", "created_at"),
    ),
    (
        # Parts and services that were used.
        Child("lines", "intervention_line", _LINE),
        META,
    ),
    category=Category.INTERVENTION,
)  # fmt: skip

TIME_ENTRY = Entity(
    "time_entry", "time_entry", "time_entry_id",
    (
        *_text("worker", "activity", "project", "comment", "status"),
        Field("intervention", Kind.REFERENCE, refers_to="intervention"),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        Field("order", Kind.REFERENCE, refers_to="order"),
        *_at("started_at", "ended_at", "created_at"),
        # As the system states it: breaks make it less than the end minus the start.
        Field("worked_hours", Kind.DECIMAL),
        *(Field(name, Kind.BOOLEAN) for name in ("billable", "validated", "exported")),
    ),
    (META,),
    category=Category.TIME,
)  # fmt: skip

_OF_THE_CUSTOMER = (
    Field("customer", Kind.REFERENCE, refers_to="customer"),
    Field("contact", Kind.REFERENCE, refers_to="contact"),
    Field("responsible", Kind.REFERENCE, refers_to="employee"),
)

OPPORTUNITY = Entity(
    "opportunity", "opportunity", "opportunity_id",
    (
        *_text("number", "subject", "stage", "status", "state"),
        Field("currency", Kind.CURRENCY),
        *_money("amount"),
        *_OF_THE_CUSTOMER,
        *_at("opened_at", "closed_at", "changed_at"),
    ),
    (META,),
)  # fmt: skip
"""A sale that may come of it."""

OCCURRENCE = Entity(
    "occurrence", "occurrence", "occurrence_id",
    (
        *_text("number", "subject", "type", "priority", "status", "state"),
        *_OF_THE_CUSTOMER,
        *_at("opened_at", "closed_at", "changed_at"),
    ),
    (META,),
)  # fmt: skip
"""A complaint, a question or another case that a customer opened."""

ACTIVITY = Entity(
    "activity", "activity", "activity_id",
    (
        # action, task, campaign, or another word of the mapping
        Field("type", required=True),
        *_text("subject", "status"),
        *_OF_THE_CUSTOMER,
        Field("opportunity", Kind.REFERENCE, refers_to="opportunity"),
        Field("occurrence", Kind.REFERENCE, refers_to="occurrence"),
        *_at("occurred_at", "due_at", "done_at", "changed_at"),
    ),
    (META,),
)  # fmt: skip
"""What was done, is to be done, or was sent: an entry of the customer's history, a task, a campaign that reached it."""

DOCUMENT = Entity(
    "document", "document", "document_id",
    (
        # sales, stock_transfer, stock_adjustment, or another word of the mapping. The background routines read invoice,
        # credit_note (its total is positive: what is given back) and quotation; one in the state cancelled does not count.
        Field("type", required=True),
        *_text("number", "reference", "status", "state"),
        Field("currency", Kind.CURRENCY),
        Field("customer", Kind.REFERENCE, refers_to="customer"),
        Field("order", Kind.REFERENCE, refers_to="order"),
        Field("intervention", Kind.REFERENCE, refers_to="intervention"),
        Field("billing_address", Kind.ADDRESS),
        Field("shipping_address", Kind.ADDRESS),
        *_text("from_warehouse", "to_warehouse", "reason"),
        *_money("total", "tax_total"),
        *(Field(name, Kind.DATE) for name in ("document_date", "due_date")),
        *_at("created_at"),
    ),
    (Child("lines", "document_line", _LINE), META),
    category=Category.DOCUMENT,
)  # fmt: skip

_ALL = (
    CATEGORY, EMPLOYEE, CUSTOMER, CONTACT, PRODUCT, ORDER, SUBSCRIPTION, INTERVENTION, TIME_ENTRY, OPPORTUNITY, OCCURRENCE,
    ACTIVITY, DOCUMENT,
)  # fmt: skip
ENTITIES: Mapping[str, Entity] = {one.name: one for one in _ALL}
"""Every entity, parents before what refers to them."""
