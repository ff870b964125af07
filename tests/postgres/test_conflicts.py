"""`erpcrm conflicts`: a field that shop and CRM changed differently waits for a person, whose decision reaches both once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.cli.main import run
from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.conflict import Choice, Whose, decide, read
from erpcrm_orchestration.services.inbox_correction import Author, verify
from erpcrm_orchestration.services.inbox_health import judge
from erpcrm_orchestration.services.replay import Replay, replay
from erpcrm_orchestration.store import integration_schema as tables
from erpcrm_orchestration.store.inbox import wake
from erpcrm_orchestration.store.records import plain
from tests.conftest import NOON
from tests.integrated_company import CONNECTORS, SECRETS, IntegratedCompany

HERE = ["--dossier", "998"]
WHY = [*HERE, "--yes", "--reason", "the customer wrote to us"]
PLACE = {"address_1": "1 rue des Alpes", "address_2": "second floor", "postcode": "69001", "city": "Lyon", "country": "FR"}
WRITTEN_SHOP = (
    "      customers: {map: {match: [email]}}",
    """      customers:
        map: {match: [email]}
        write:
          fields: [first_name, billing_address]
          update:
            path: "/wp-json/wc/v3/customers/{id}"
            method: PUT
            body:
              first_name: "{first_name}"
              billing:
                address_1: "{billing_address.line_1}"
                address_2: "{billing_address.line_2}"
                postcode: "{billing_address.postcode}"
                city: "{billing_address.city}\"""",
)
"""Lets the shop be told of names and addresses."""
LOOKED_UP = "match: [email], fields: {class_code: {path: role, lookup: role}}"
"""Gives a customer of the shop the class of its role, by a word that somebody maps."""
ADDRESS = """
              address:
                street: "{billing_address.line_1}"
                city: "{billing_address.city}"
                postal_code: "{billing_address.postcode}"
                country: "{billing_address.country}\""""
FEWER_PARTS = (
    (
        "            language: language\n            second",
        "            billing_address: {path: address, fields:"
        " {line_1: street, city: city, postcode: postal_code, country: country}}\n            second",
    ),
    (
        "fields: [email, first_name, last_name, phone, language, class_code, responsible]",
        "fields: [email, first_name, phone, billing_address]",
    ),
    (
        '              last_name: "{last_name}"\n              phone: "{phone}"\n              class: "{class_code}"\n'
        '              owner_id: "{ref.responsible}"\n          update',
        ADDRESS.removeprefix("\n") + "\n          update",
    ),
    ('\n              language: "{language}"', ADDRESS),
)
"""Lets the CRM keep street, postcode, city and country of an address, and nothing else."""


@dataclass
class Pair:
    """Shop and CRM of dossier 998, with one customer that both know."""

    shop: Shop
    crm: Crm
    company: IntegratedCompany
    customer: int = 0
    contact: str = ""
    before: Counter[str] = field(default_factory=Counter)
    """System -> what was sent to it until both knew of Ana."""

    def meet(self) -> None:
        """Let both know of Ana."""
        self.customer = int(
            self.shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand", **PLACE)["id"]
        )
        self.rounds(2)
        (contact,) = self.crm.find("contacts")
        self.contact = contact["id"]
        self.shop.writes.clear()
        self.before = Counter({system: self.told(system) for system in ("shop", "crm")})

    def meet_apart(self, **theirs: object) -> None:
        """Let both have known Ana before we hear of her, the CRM by these values; what it tells comes first."""
        self.contact = self.crm.add("contacts", email="ana@example.com", **theirs)["id"]
        self.customer = int(
            self.shop.add_customer(email="ana@example.com", first_name="Ana", last_name="Durand", **PLACE)["id"]
        )
        self.rounds(3)

    def rounds(self, count: int = 1) -> None:
        """Do rounds that read everything, a minute apart."""
        for _ in range(count):
            done = self.company.round(everything=True)["998"]
            assert done.failures == []
            self.company.pass_time()

    def names(self) -> tuple[str, str, str]:
        """Return the first name as the shop, the CRM and we hold it."""
        (ours,) = self.company.rows("hub.customer")
        theirs = self.crm.record("contacts", self.contact)["first_name"]
        return self.shop.kinds["customers"].record(self.customer)["first_name"], theirs, ours["first_name"]

    def differ(self) -> int:
        """Let both change the first name; return the number of the conflict."""
        self.shop.change("customers", self.customer, first_name="Annette")
        self.crm.change("contacts", self.contact, first_name="Anna")
        self.rounds()
        (conflict,) = self.company.rows("flow.field_conflict", closed_at=None)
        return int(conflict["conflict_id"])

    def told(self, system: str) -> int:
        """Return how many changes were sent to a system since both know of Ana."""
        return len(self.company.rows("flow.work_item", system_code=system, state="DONE")) - self.before[system]

    def ours(self) -> dict[str, Any]:
        """Return our parts of the customer's address."""
        (customer,) = self.company.rows("hub.customer")
        (found,) = self.company.rows("hub.address", address_hash=customer["billing_address_hash"])
        return dict(found)

    def billing(self, **parts: str) -> None:
        """Change parts of the address in the shop."""
        record = self.shop.kinds["customers"].record(self.customer)
        self.shop.change("customers", self.customer, billing={**record["billing"], **parts})


@pytest.fixture
def pair(engine: sa.Engine, database_url: sa.URL, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Both systems connected; the command line works on this database at the clock's time."""
    monkeypatch.setenv("ERPCRM_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr("erpcrm_orchestration.cli.conflicts.SystemClock", lambda: clock)
    shop, crm, company = Shop(clock=clock), Crm(clock=clock), IntegratedCompany(engine, clock)
    company.dossier()
    with ExitStack() as stack:
        urls = {name: stack.enter_context(WebServer(one)).url for name, one in (("shop", shop), ("crm", crm))}
        company.connect(connectors(WRITTEN_SHOP) + "connections:\n" + "".join(connection(*one) for one in urls.items()))
        yield Pair(shop, crm, company)


@pytest.fixture
def lossy(pair: Pair) -> Pair:
    """The same, with a CRM that keeps four parts of an address."""
    pair.company.connect(connectors(WRITTEN_SHOP, *FEWER_PARTS))
    pair.meet()
    return pair


def connection(system: str, url: str) -> str:
    """Return the connection of a system of which only the customers are read."""
    entity = {"shop": "customers", "crm": "contacts"}[system]
    return (
        f'  {system}_998: {{dossier: "998", system: {system}, connector: {system}, url: "{url}", entities: [{entity}],\n'
        f"    outbound_enabled: true, credentials: {SECRETS[system]}}}\n"
    )


def connectors(*changes: tuple[str, str]) -> str:
    """Return the demo company's connectors with texts replaced."""
    text = CONNECTORS.read_text(encoding="utf-8").replace("requests_per_s: 50", "requests_per_s: 1000")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


def test_a_conflict_is_listed_and_nothing_is_sent_over_it_until_it_is_decided(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.meet()
    number = pair.differ()
    pair.rounds(2)
    assert pair.names() == ("Annette", "Anna", "Anna")
    assert run(["conflicts", "list", *HERE, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    shown = {name: listed[name] for name in ("conflict_id", "system_code", "field", "base_value", "our_value", "their_value")}
    assert shown == {
        "conflict_id": number, "system_code": "shop", "field": "first_name",
        "base_value": "Ana", "our_value": "Anna", "their_value": "Annette",
    }  # fmt: skip
    told = judge(pair.company.engine, ["998"], {("998", "customer")}, clock=pair.company.clock)["998", "customer"]
    refused = told.verdicts["records_are_not_refused"]
    assert (refused.passed, refused.severity, refused.metadata["conflicts"]) == (False, "WARN", 1)
    assert run(["conflicts", "show", str(number), *HERE]) == 0
    assert "their_value: Annette" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("choice", "stands", "told", "resolution"),
    [
        (["--ours"], "Anna", {"shop": 1, "crm": 0}, "ours"),
        (["--theirs"], "Annette", {"shop": 1, "crm": 1}, "theirs"),
        (["--value", "Anne"], "Anne", {"shop": 1, "crm": 1}, "value: Anne"),
    ],
)
def test_a_decision_reaches_the_systems_that_differ_once_and_is_kept_with_its_reason(
    pair: Pair, choice: list[str], stands: str, told: dict[str, int], resolution: str
) -> None:
    pair.meet()
    number = pair.differ()
    assert run(["conflicts", "decide", str(number), *choice, *WHY]) == 0
    pair.rounds(2)
    assert pair.names() == (stands, stands, stands)
    assert {system: pair.told(system) for system in told} == told
    replay(pair.company.engine, ["998"], ["customer"], Replay(pair.company.clock, "run-2"))
    assert pair.names()[2] == stands, "a backfill keeps what was decided"
    (conflict,) = pair.company.rows("flow.field_conflict")
    assert conflict["resolution"] == resolution
    (audit,) = pair.company.rows("audit.correction")
    assert (audit["actor"], audit["action"], audit["reason"]) == ("ann", "decide", "the customer wrote to us")
    assert audit["difference"] == [
        {"path": "ours.first_name", "before": '"Anna"', "after": f'"{stands}"'},
        {"path": "shop.first_name", "before": '"Annette"', "after": f'"{stands}"'},
    ]
    assert verify(pair.company.engine)[0] == 1


def test_what_was_decided_or_changed_meanwhile_is_refused(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.meet()
    number = pair.differ()
    pair.crm.change("contacts", pair.contact, first_name="Anneke")
    pair.rounds()
    decide = ["conflicts", "decide", str(number), "--theirs"]
    assert run([*decide, *WHY]) == 2
    assert "E-COR-032 conflict 998/1: ours is now Anneke; look at it again" in capsys.readouterr().err
    assert run([*decide, *WHY]) == 0
    assert run([*decide, *WHY]) == 2
    assert "E-COR-031" in capsys.readouterr().err
    assert run(["conflicts", "decide", "99", "--ours", *WHY]) == 2
    assert "E-COR-030" in capsys.readouterr().err
    assert run([*decide, *HERE, "--yes", "--reason", " "]) == 2
    assert run([*decide, "--ours", *WHY]) == 2
    assert run([*decide, *HERE, "--reason", "x"]) == 2
    assert len(pair.company.rows("audit.correction")) == 1


def test_what_changed_since_a_person_looked_is_refused(pair: Pair) -> None:
    pair.meet()
    number = pair.differ()
    seen = read(pair.company.engine, "998", number)
    pair.shop.change("customers", pair.customer, first_name="Annemarie")
    pair.rounds()
    whose, author = Choice(Whose.THEIRS), Author("ann", "asked")
    with pytest.raises(InputError, match="E-COR-032 conflict 998/1: theirs is now Annemarie"):
        decide(pair.company.engine, "998", number, whose, author, clock=pair.company.clock, seen=seen)
    seen = read(pair.company.engine, "998", number)
    assert decide(pair.company.engine, "998", number, whose, author, clock=pair.company.clock, seen=seen).value == "Annemarie"


def test_a_conflict_of_a_field_that_is_not_shared_any_more_ends_and_holds_nothing_back(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.meet()
    number = pair.differ()
    with pair.company.engine.begin() as connection:
        connection.execute(sa.text("UPDATE hub.cross_reference SET base = base - 'first_name'"))
    assert run(["conflicts", "decide", str(number), "--ours", *WHY]) == 2
    assert "E-COR-034 conflict 998/1: the field is not shared any more" in capsys.readouterr().err
    pair.rounds()
    assert pair.company.rows("flow.field_conflict", closed_at=None) == []
    assert pair.company.rows("flow.work_item", state="QUEUED") == []


def test_a_conflict_ends_when_the_mapping_does_not_share_its_field_any_more(pair: Pair) -> None:
    pair.meet()
    pair.differ()
    unread = ("            first_name: first_name\n            last_name: last_name\n            phone: phone\n", "")
    pair.company.connect(connectors(WRITTEN_SHOP, unread))
    pair.shop.change("customers", pair.customer, last_name="Durant")
    pair.rounds()
    assert [row["resolution"] for row in pair.company.rows("flow.field_conflict")] == ["settled by itself"]


def test_of_two_people_who_decide_at_once_one_is_refused(pair: Pair) -> None:
    pair.meet()
    number = pair.differ()
    start = Barrier(2)

    def decided(whose: Whose) -> str:
        start.wait()
        try:
            decide(pair.company.engine, "998", number, Choice(whose), Author("ann", "asked"), clock=pair.company.clock)
        except InputError as refused:
            return refused.code
        return "decided"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(decided, (Whose.OURS, Whose.THEIRS))) == ["E-COR-031", "decided"]
    assert len(pair.company.rows("audit.correction")) == 1
    pair.rounds(2)
    assert len(set(pair.names())) == 1


def test_a_field_that_an_update_does_not_hold_is_not_taken_for_told(pair: Pair) -> None:
    """The shop is told of names, not of phones: both change the phone, and the second one is a conflict."""
    told = ("          fields: [first_name, billing_address]", "          fields: [first_name, phone, billing_address]")
    pair.company.connect(connectors(WRITTEN_SHOP, told))
    pair.meet()
    pair.crm.change("contacts", pair.contact, phone="+33 1")
    pair.rounds()
    assert pair.company.rows("flow.work_item", system_code="shop", state="DONE")
    pair.billing(phone="+33 2")
    pair.rounds()
    assert [row["field"] for row in pair.company.rows("flow.field_conflict")] == ["phone"]


def test_a_conflict_ends_when_one_takes_its_change_back_and_what_waited_is_sent(pair: Pair) -> None:
    pair.meet()
    pair.differ()
    pair.shop.change("customers", pair.customer, first_name="Ana")
    pair.rounds(2)
    (conflict,) = pair.company.rows("flow.field_conflict")
    assert conflict["resolution"] == "settled by itself"
    assert pair.names() == ("Anna", "Anna", "Anna")


def test_the_first_change_of_a_system_that_keeps_fewer_parts_is_no_conflict_and_loses_no_part(lossy: Pair) -> None:
    kept = lossy.crm.record("contacts", lossy.contact)["address"]
    lossy.crm.change("contacts", lossy.contact, address={**kept, "city": "Paris"})
    lossy.rounds(2)
    ours = lossy.ours()
    assert (ours["city"], ours["line_1"], ours["line_2"], ours["first_name"]) == (
        "Paris", "1 rue des Alpes", "second floor", "Ana",
    )  # fmt: skip
    billing = lossy.shop.kinds["customers"].record(lossy.customer)["billing"]
    assert (billing["city"], billing["address_2"]) == ("Paris", "second floor")
    assert lossy.company.rows("flow.field_conflict") == []


def test_what_such_a_system_tells_of_our_own_change_is_no_conflict_and_changes_nothing(lossy: Pair) -> None:
    lossy.billing(city="Nice", address_2="third floor")
    lossy.rounds(3)
    assert lossy.crm.record("contacts", lossy.contact)["address"]["city"] == "Nice"
    assert (lossy.ours()["city"], lossy.ours()["line_2"]) == ("Nice", "third floor")
    assert lossy.company.rows("flow.field_conflict") == []
    assert lossy.told("shop") == 0
    assert lossy.told("crm") == 1


def test_an_address_is_decided_by_its_parts(lossy: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    lossy.billing(city="Nice")
    lossy.crm.change("contacts", lossy.contact, address={"street": "2 rue du Port", "city": "Brest", "country": "FR"})
    lossy.rounds()
    assert run(["conflicts", "list", *HERE, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert json.loads(listed["their_value"])["city"] == "Nice"
    decide = ["conflicts", "decide", "1", "--value"]
    assert run([*decide, '{"town": "Brest"}', *WHY]) == 2
    assert "E-COR-033" in capsys.readouterr().err
    assert run([*decide, '{"city": "Rennes", "line_2": "fourth floor"}', *WHY]) == 0
    lossy.rounds(2)
    assert (lossy.ours()["city"], lossy.ours()["line_1"], lossy.ours()["line_2"]) == ("Rennes", "2 rue du Port", "fourth floor")
    assert lossy.shop.kinds["customers"].record(lossy.customer)["billing"]["city"] == "Rennes"
    assert lossy.crm.record("contacts", lossy.contact)["address"]["city"] == "Rennes"


def in_conflict(company: IntegratedCompany, field: str, ours: object, theirs: object) -> None:
    """Store a product of the shop with a field that both changed."""
    keys = {"dossier_code": "998", "entity": "product", "system_code": "shop", "record_id": 7}
    link = {**keys, "external_id": "7", "message_id": 1, "base": {field: theirs}}
    conflict = {**keys, "field": field, "opened_at": NOON, "our_value": str(plain(ours)), "their_value": theirs}
    product = {"dossier_code": "998", "product_id": 7, field: ours, "updated_at": NOON}
    company.dossier()
    with company.engine.begin() as connection:
        connection.execute(sa.insert(tables.entity_table["product"]).values(product))
        connection.execute(sa.insert(tables.cross_reference).values(link))
        connection.execute(sa.insert(tables.field_conflict).values(conflict))


@pytest.mark.parametrize(
    ("field", "ours", "theirs", "choice", "stands"),
    [
        ("price", Decimal("12.50"), "0.00001234", Choice(Whose.THEIRS), Decimal("0.00001234")),
        ("price", Decimal("12.50"), "13.00", Choice(Whose.VALUE, "12.75"), Decimal("12.75")),
        ("price", Decimal("12.50"), None, Choice(Whose.THEIRS), None),
        ("price", Decimal("12.50"), "13.00", Choice(Whose.OURS), Decimal("12.50")),
        ("created_at", NOON, "2026-11-18T12:00:01.5Z", Choice(Whose.THEIRS), NOON + timedelta(seconds=1.5)),
        ("created_at", NOON, "2026-11-19T00:00:00Z", Choice(Whose.VALUE, "2026-11-18T14:00+01:00"), NOON + timedelta(hours=1)),
    ],
)
def test_a_value_of_any_kind_is_taken_as_it_was_told_or_typed(
    engine: sa.Engine, clock: FixedClock, field: str, ours: object, theirs: object, choice: Choice, stands: object
) -> None:
    company = IntegratedCompany(engine, clock)
    in_conflict(company, field, ours, theirs)
    decide(engine, "998", 1, choice, Author("ann", "asked"), clock=clock)
    assert company.rows("hub.product")[0][field] == stands


def test_a_value_that_the_field_does_not_take_is_refused_and_nothing_is_decided(engine: sa.Engine, clock: FixedClock) -> None:
    company = IntegratedCompany(engine, clock)
    in_conflict(company, "price", Decimal("12.50"), "13.00")
    with pytest.raises(InputError, match="E-COR-033 conflict 998/1: price: 'a lot' is not a number"):
        decide(engine, "998", 1, Choice(Whose.VALUE, "a lot"), Author("ann", "asked"), clock=clock)
    assert company.rows("flow.field_conflict")[0]["closed_at"] is None


def test_a_field_that_two_systems_change_in_turn_is_told_each_time_also_back_to_what_was_told_before(pair: Pair) -> None:
    pair.meet()
    for name in ("Anna", "Annette", "Anna", "Annette"):
        if name == "Anna":
            pair.shop.change("customers", pair.customer, first_name=name)
        else:
            pair.crm.change("contacts", pair.contact, first_name=name)
        pair.rounds(2)
        assert pair.names() == (name, name, name)
    assert pair.company.rows("flow.field_conflict") == []
    assert (pair.told("shop"), pair.told("crm")) == (2, 2)
    pair.rounds(2)
    assert (pair.told("shop"), pair.told("crm")) == (2, 2)


def changes_of(pair: Pair, system: str) -> list[str]:
    """Return what became of the changes for a system."""
    return [row["state"] for row in pair.company.rows("flow.work_item", system_code=system, event="outbound")]


def test_what_stands_after_two_records_were_found_to_be_one_is_told_where_it_differs_once(pair: Pair) -> None:
    """The CRM calls her otherwise: that stands, and the shop hears of it without a further change."""
    pair.meet_apart(first_name="Anna", last_name="Durand", phone="+33 1")
    assert pair.names() == ("Anna", "Anna", "Anna")
    assert pair.ours()["city"] == "Lyon", "what the CRM does not tell is the shop's"
    assert changes_of(pair, "shop") == ["DONE"]
    assert pair.company.rows("flow.field_conflict") == []


def test_a_matched_record_that_had_to_wait_is_told_of_what_stands_too(pair: Pair) -> None:
    """A word of its is unmapped until somebody maps it."""
    text = connectors((WRITTEN_SHOP[0], WRITTEN_SHOP[1].replace("match: [email]", LOOKED_UP)))
    pair.company.connect(text)
    pair.meet_apart(first_name="Anna", last_name="Durand")
    (waiting,) = pair.company.rows("flow.inbox", system_code="shop", state="WAITING")
    with pair.company.engine.begin() as connection:
        kind, _, word = waiting["waiting_for"].partition(" ")
        connection.execute(
            sa.insert(tables.value_mapping).values(
                dossier_code="998", system_code="shop", kind=kind, external_value=word, our_value="ours",
                updated_at=pair.company.clock.now(),
            )
        )  # fmt: skip
        assert wake(connection, "998", "shop", [waiting["waiting_for"]]) == 1
    pair.rounds(2)
    assert pair.names() == ("Anna", "Anna", "Anna")


def test_nothing_is_told_after_a_match_that_differs_in_nothing_that_is_told(pair: Pair) -> None:
    pair.meet_apart(first_name="Ana", last_name="Durant")
    assert changes_of(pair, "shop") == []


@pytest.mark.parametrize(("city", "told"), [("Lyon", []), ("Paris", ["DONE"])])
def test_after_a_match_an_address_that_says_more_stands_and_loses_no_part(pair: Pair, city: str, told: list[str]) -> None:
    """The CRM, which keeps four parts of it, tells first; the shop has a second line."""
    pair.company.connect(connectors(WRITTEN_SHOP, *FEWER_PARTS))
    address = {"street": "1 rue des Alpes", "postal_code": "69001", "city": city, "country": "FR"}
    pair.meet_apart(first_name="Ana", address=address)
    assert changes_of(pair, "shop") == told
    held = pair.shop.kinds["customers"].record(pair.customer)["billing"]
    assert (pair.ours()["city"], pair.ours()["line_2"]) == (held["city"], held["address_2"]) == (city, "second floor")
