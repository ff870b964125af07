"""The REST client with the values of the woocommerce preset, against the simulated shop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from erpcrm_orchestration.clients.rest import RestClient
from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.demo.shop_api import Shop
from erpcrm_orchestration.demo.web import WebServer
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorEntity
from erpcrm_orchestration.domain.errors import PermanentFailure, SourceError
from erpcrm_orchestration.domain.received import Span
from tests.connectors.conformance import START, Conformance, read, read_pages
from tests.connectors.flavours import StandStill

KEY, SECRET = "ck_canary_0001", "cs_canary_0002"
LATER = START + timedelta(hours=1)
NO_CREATE = "the preset creates nothing in a shop"
CANNOT = {
    "orders": {"create": NO_CREATE, "lost_answer": NO_CREATE},
    "customers": {
        "create": NO_CREATE,
        "lost_answer": NO_CREATE,
        "update": "customers are not written",
        "change": "everything is read",
        "equal_times": "everything is read",
    },
}


def connector() -> Connector:
    return read_text("connectors:\n  shop: {kind: woocommerce}\n", name="f.yaml").configuration.connectors[0]


@dataclass
class ShopUnderTest:
    """One kind of record of the simulated shop."""

    shop: Shop
    url: str
    entity: ConnectorEntity
    cannot: Mapping[str, str]
    page_size: int = 3
    secrets: tuple[str, ...] = (KEY, SECRET, "cs_canary_wrong")
    update: Mapping[str, object] = field(default_factory=lambda: {"wanted_status": "shipped"})

    def client(self, *, wrong_credentials: bool = False) -> RestClient:
        of = {"key": KEY, "secret": "cs_canary_wrong" if wrong_credentials else "${env:SHOP_SECRET}"}
        connection = Connection("shop-998", "998", "shop", "shop", self.url, of)
        return RestClient(connector(), connection, {"SHOP_SECRET": SECRET}, StandStill().around())

    def add(self, at: datetime) -> str:
        self.shop.clock.at = max(LATER, at)  # type: ignore[attr-defined]
        if self.entity.name == "customers":
            number = len(self.shop.kinds["customers"])
            return str(self.shop.add_customer(email=f"c{number}@example.com", first_name="Anne", last_name="Durand")["id"])
        return str(self.shop.add_order([(1, 2)], at=at)["id"])

    def change(self, record: str, at: datetime) -> None:
        self.shop.clock.at = at  # type: ignore[attr-defined]
        self.shop.change("orders", int(record), customer_note="changed")

    def spoil(self, record: str) -> None:
        self.shop.spoil(self.entity.name, int(record), without=("id",))

    def fail_next(self) -> None:
        self.shop.faults.arm("503")

    def lose_next_answer(self) -> None:
        self.shop.faults.arm("lost_answer")

    def effects(self) -> int:
        return sum(method == "POST" for method, _, _ in self.shop.writes)


@pytest.fixture
def shop() -> Iterator[tuple[Shop, str]]:
    """A shop with one product and the address of its server."""
    made = Shop(key=KEY, secret=SECRET, clock=FixedClock(START))
    made.add_product("Pump", "12.50")
    with WebServer(made) as server:
        yield made, server.url


def under_test(shop: tuple[Shop, str], name: str, size: int = 3) -> ShopUnderTest:
    entity = connector().entity(name)
    assert entity is not None
    assert entity.read is not None
    smaller = replace(entity, read=replace(entity.read, paging=replace(entity.read.paging, size=size)))
    return ShopUnderTest(*shop, smaller, CANNOT[name])


class TestWooCommerce(Conformance):
    @pytest.fixture(params=sorted(CANNOT))
    def system(self, request: pytest.FixtureRequest, shop: tuple[Shop, str]) -> ShopUnderTest:
        return under_test(shop, request.param)


def test_b9_250_changed_orders_are_exactly_three_list_requests(shop: tuple[Shop, str]) -> None:
    system = under_test(shop, "orders", 100)
    added = {system.add(START + timedelta(seconds=number)) for number in range(250)}
    system.shop.log.clear()
    pages = read_pages(system, Span(after=START - timedelta(seconds=120)))
    assert {one.source_id for page in pages for one in page.records} == added
    assert system.shop.log.count("GET") == 3


@pytest.mark.parametrize("fault", ["truncated", "truncated_chunked", "truncated_close", "dropped", "empty", "reordered"])
def test_f18_f20_f22_no_fault_of_one_answer_loses_an_order(shop: tuple[Shop, str], fault: str) -> None:
    system = under_test(shop, "orders")
    added = {system.add(START + timedelta(seconds=number)) for number in range(8)}
    system.shop.faults.arm(fault)
    assert {one.source_id for one in read(system, Span())} == added


@pytest.mark.parametrize("fault", ["duplicate_page", "loop", "shifting_pages", "repeated_row"])
def test_f22_f23_a_list_in_disorder_is_read_whole_or_fails(shop: tuple[Shop, str], fault: str) -> None:
    system = under_test(shop, "orders")
    added = {system.add(START + timedelta(seconds=number)) for number in range(8)}
    system.shop.faults.arm(fault, skip=1)
    assert whole_or_refused(lambda: {one.source_id for one in read(system, Span()) if one.fault is None}, added)


@pytest.mark.parametrize("fault", ["html", "error_in_200", "redirect", "next_elsewhere", "gzip_bomb", "latin_1"])
def test_f21_f42_catalogue_12_24_25_26_a_wrong_answer_is_refused_with_its_code(shop: tuple[Shop, str], fault: str) -> None:
    system = under_test(shop, "orders")
    for number in range(8):
        system.add(START + timedelta(seconds=number))
    system.shop.faults.arm(fault)
    if fault == "latin_1":
        assert len(read(system, Span())) == 8
        return
    with pytest.raises(PermanentFailure, match=r"^E-SRC-0(12|15|40|41|42|50) "):
        read(system, Span())


def whole_or_refused(once: Callable[[], set[str]], wanted: set[str]) -> bool:
    """True when a reading brings everything, or fails as a list in disorder and brings everything when done again."""
    failure: SourceError | None = None
    found: set[str] = set()
    try:
        found = once()
    except SourceError as raised:
        failure, found = raised, once()
    return found == wanted and (failure is None or failure.code in {"E-SRC-043", "E-SRC-052"})
