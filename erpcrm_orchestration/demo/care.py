"""The care of the simulated company's customers: who is responsible, who is spoken with, what may be sold, what was invoiced.

The CRM's people know some customers before the shop does. Those who come from the shop get a responsible, a class and a day
of birth here, and in the ERP a past: invoices over the last months, of some customers none for long, of some none at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.erp_api import Erp
from erpcrm_orchestration.demo.message import Json

USERS = (
    ("CF", "Claire Fontaine", True),
    ("MS", "Marco Silva", True),
    ("EP", "Elena Petrova", True),
    ("JB", "Jules Bernard", False),
)
"""Code, name, and whether they still work here."""


class Known(NamedTuple):
    """A customer whom the CRM knows without the shop: the birthday comes in so many days, for `quiet` days nothing happened."""

    type: str
    first_name: str
    last_name: str
    class_word: str | None
    birthday_in: int
    quiet: int
    title: str


KNOWN = (
    Known("ACCOUNT", "Hélène", "Chastel", "SILVER", 0, 2, "Technical director"),
    Known("ACCOUNT", "Rui", "Almeida", "BRONZE", 40, 75, "Buyer"),
    Known("ACCOUNT", "Olga", "Sorokina", "BRONZE", 0, 1, "Manager of the hotel"),
    Known("LEAD", "Pierre", "Vasseur", None, 120, 45, "Architect"),
    Known("LEAD", "Nora", "Lindqvist", None, 200, 100, "Owner"),
)
SALES = ("Heat pump for the workshop", "Maintenance contract", "Boiler of the annex", "Thermostats for every room")
CASES = ("Invoice not received", "Noise at night", "Wrong part delivered", "Question about the warranty")
CLASSES = ("BRONZE", "BRONZE", "SILVER", "GOLD")
PASTS: Sequence[Sequence[tuple[str, int, int, str]]] = (
    (("invoice", 170, 1, "paid"), ("invoice", 95, 3, "paid"), ("invoice", 20, 2, "open"), ("quotation", 6, 2, "open")),
    (("invoice", 400, 1, "paid"), ("invoice", 250, 1, "paid")),
    (("invoice", 130, 2, "paid"), ("credit_note", 120, 1, "paid"), ("invoice", 60, 1, "cancelled"), ("invoice", 12, 1, "open")),
    (("quotation", 25, 1, "accepted"), ("quotation", 4, 3, "open")),
)
"""The pasts that customers have by turns: type of document, days ago, how many of each article, state."""
REGISTERED_DAYS_AGO = 500
ADULT_YEARS = 31
AT_ONCE = 3
"""So many customers are looked after in one moment."""
CONVERTED_AFTER = 12
"""So many moments after the start a lead becomes a customer."""
EVERY = 4
"""Moments from one new activity to the next."""


@dataclass
class CustomerCare:
    """Moves the CRM's care of customers and the ERP's documents on; the same seed tells the same story."""

    crm: Crm
    erp: Erp
    seed: int = 998
    users: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - a simulation
        self._moments = 0
        self._with_a_past: set[int] = set()

    def found(self) -> None:
        """Make the users, the customers that only the CRM knows, and what is done for them."""
        for code, name, active in USERS:
            email = f"{name.lower().replace(' ', '.')}@meridian.example"
            self.users.append(str(self.crm.add("users", code=code, name=name, email=email, active=active)["id"]))
        for number, one in enumerate(KNOWN):
            at = self.crm.clock.now() - timedelta(days=one.quiet)
            contact = self.crm.add_at(
                at, "contacts", first_name=one.first_name, last_name=one.last_name, type=one.type,
                phone=f"+3347900{number:04}", email=f"{_plain(one.first_name)}.{_plain(one.last_name)}@example.com",
                second_email=f"office{number + 1}@example.com", birth_date=self._birthday(one.birthday_in, number),
                owner_id=self.users[number % 2], **{"class": one.class_word},
            )  # fmt: skip
            self._look_after(contact, number, at)

    def live(self) -> None:
        """Let one more moment pass: look after new customers, give some a past, and now and then do something for one."""
        self._moments += 1
        new = [one for one in self._contacts() if one["owner_id"] is None]
        for contact in new[:AT_ONCE]:
            self._take_over(contact)
        registered = [one for one in self.erp.records("customers") if one["code"] and one["id"] not in self._with_a_past]
        for customer in registered[:AT_ONCE]:
            self._give_a_past(customer)
        if self._moments == CONVERTED_AFTER:
            self._convert()
        if self._moments % EVERY == 0:
            self._call(self._chance.choice(self._contacts()))

    def _contacts(self) -> list[Json]:
        with self.crm.lock:
            everything = [self.crm.record("contacts", f"C{number:06}") for number in self.crm.kinds["contacts"]]
        return [one for one in everything if one["deleted_at"] is None]

    def _take_over(self, contact: Json) -> None:
        """Complete what the shop does not know of a customer; every fourth has a birthday today."""
        number = int(contact["id"][1:])
        self.crm.change(
            "contacts", contact["id"], type="ACCOUNT", owner_id=self.users[number % 3],
            birth_date=self._birthday(0 if number % 4 == 0 else number * 17 % 365, number),
            **{"class": CLASSES[number % len(CLASSES)]},
        )  # fmt: skip

    def _look_after(self, contact: Json, number: int, at: datetime) -> None:
        """Make the person there, and a sale, a case and a history that ended `at`."""
        links = {"contact_id": contact["id"], "owner_id": contact["owner_id"]}
        person = self.crm.add_at(
            at, "persons", code=f"PE-{number + 1:03}", first_name="Alex", last_name=contact["last_name"],
            title=KNOWN[number].title, email=f"alex.{_plain(contact['last_name'])}@example.com", phone=contact["phone"],
            birth_date=self._birthday(number * 60, number + 5), contact_id=contact["id"],
        )  # fmt: skip
        links["person_id"] = person["id"]
        won = number == 0
        sale = self.crm.add_at(
            at, "opportunities", number=f"OPP-{number + 1:05}", subject=SALES[number % len(SALES)], currency="EUR",
            stage="closing" if won else "offer", status="WON" if won else "OPEN", amount=f"{(number + 1) * 2400}.00",
            opened=_text(at - timedelta(days=40)), closed=_text(at) if won else None, **links,
        )  # fmt: skip
        case = self.crm.add_at(
            at, "occurrences", number=f"CASE-{number + 1:05}", subject=CASES[number % len(CASES)], type="complaint",
            priority="normal", status="OPEN" if number % 2 else "CLOSED", opened=_text(at - timedelta(days=15)),
            closed=None if number % 2 else _text(at), **links,
        )  # fmt: skip
        self._act("ACTION", "Called about the offer", at, links, opportunity_id=sale["id"], occurred=_text(at))
        self._act("TASK", "Send the answer", at, links, occurrence_id=case["id"], due=_text(at + timedelta(days=7)))
        self._act("CAMPAIGN", "Autumn maintenance", at, links, occurred=_text(at - timedelta(days=10)))

    def _convert(self) -> None:
        """Make a customer of the first lead: the ERP registers it then."""
        lead = next((one for one in self._contacts() if one["type"] == "LEAD"), None)
        if lead:
            self.crm.change("contacts", lead["id"], type="ACCOUNT", **{"class": CLASSES[0]})

    def _call(self, contact: Json) -> None:
        now, links = self.crm.clock.now(), {"contact_id": contact["id"], "owner_id": contact["owner_id"]}
        self._act("ACTION", "Asked whether all is well", now, links, occurred=_text(now))

    def _act(self, kind: str, subject: str, at: datetime, links: Json, **values: object) -> None:
        status = "OPEN" if kind == "TASK" else "DONE"
        self.crm.add_at(at, "activities", type=kind, subject=subject, status=status, **links, **values)

    def _give_a_past(self, customer: Json) -> None:
        """Write what a customer was offered and bought before today."""
        self._with_a_past.add(customer["id"])
        today = self.erp.clock.now().date()
        self.erp.change("customers", customer["id"], registered_on=f"{today - timedelta(days=REGISTERED_DAYS_AGO)}")
        articles = list(self.erp.kinds["products"])[:2]
        for kind, days, quantity, state in PASTS[customer["id"] % len(PASTS)] if articles else ():
            lines = [(article, quantity) for article in articles]
            self.erp.add_document(kind, customer["id"], lines, date=f"{today - timedelta(days=days)}", state=state)

    def _birthday(self, days: int, number: int) -> str:
        """Return a day of birth whose birthday comes in so many days."""
        day = self.crm.clock.now().date() + timedelta(days=days)
        if (day.month, day.day) == (2, 29):
            day += timedelta(days=1)
        return f"{date(day.year - ADULT_YEARS - number % 30, day.month, day.day)}"


def _plain(name: str) -> str:
    return name.lower().translate(str.maketrans("éèç", "eec"))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
