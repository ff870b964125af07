"""Dynamic audiences on real rows: each field that a filter may ask, nested, with what is not known."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.routine_settings import AccountField, Audience, Comparison, Filter
from erpcrm_orchestration.services.audience import preview
from tests.conftest import NOON
from tests.routine_company import DOSSIER, RoutineCompany

GOLD = Filter(AccountField.CLASS, Comparison.EQUAL, ("GOLD",))
NOBODYS = Filter(AccountField.RESPONSIBLE, Comparison.IS_NULL)


@pytest.mark.parametrize(
    ("where", "codes"),
    [
        (Filter(), ["K1", "K2", "K3"]),
        (GOLD, ["K1"]),
        (NOBODYS, ["K2", "K3"]),
        (Filter(AccountField.RESPONSIBLE, Comparison.EQUAL, ("MS",)), ["K1"]),
        (Filter(AccountField.CLASS, Comparison.IN, ("GOLD", "SILVER")), ["K1", "K2"]),
        (Filter(AccountField.CLASS, Comparison.CONTAINS, ("IL",)), ["K2"]),
        (Filter(AccountField.TYPE, Comparison.NOT_EQUAL, ("lead",)), ["K1"]),
        (Filter(any=(GOLD, Filter(all=(NOBODYS, Filter(AccountField.TYPE, Comparison.EQUAL, ("lead",)))))), ["K1", "K2"]),
        (Filter(AccountField.STATUS, Comparison.IS_NULL), ["K1", "K2", "K3"]),
        (Filter(AccountField.REGION, Comparison.IS_NULL), ["K1", "K2", "K3"]),
    ],
)
def test_an_audience_holds_the_accounts_that_its_filter_says(engine: sa.Engine, where: Filter, codes: list[str]) -> None:
    company = RoutineCompany(engine, FixedClock(NOON)).founded()
    boss = company._insert("employee", DOSSIER, code="MS", name="Marco Silva")
    company.account("K1", class_code="GOLD", type="account", responsible_id=boss)
    company.account("K2", class_code="SILVER", type="lead")
    company.account("K3")
    company.configure("audiences", Audience("A", where=where))
    count, rows = preview(engine, DOSSIER, "A", limit=10)
    assert (count, [row["code"] for row in rows]) == (len(codes), codes)
