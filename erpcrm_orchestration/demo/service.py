"""The field service of the simulated company: interventions, the time they take, the documents they leave, one of all wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

from erpcrm_orchestration.demo.crm_api import Crm
from erpcrm_orchestration.demo.message import Json

TECHNICIANS = ("Nadia Perrin", "Hugo Blanc", "Sara Roux")
WORK = ("Heat pump does not start", "Yearly maintenance", "Thermostat replaced", "Leak at the expansion tank")
WRONG_START = "2026-02-30T09:00:00Z"
"""No day of any calendar: the intervention that says so waits to be corrected."""
EVERY = 3
"""Moments from one intervention to the next."""


class FieldService:
    """Moves the CRM's interventions on. Time that is still running, or not for the ERP, is not exported."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self.wrong: str | None = None
        self._moments = 0
        self._running: list[tuple[str, str]] = []

    def found(self) -> None:
        """Make a day's work: one intervention that is done, one whose time runs, one that is wrong, and their documents."""
        done = self._intervention("CLOSED")
        time = self._time(done)
        self._stop(time["id"], done["id"])
        self._document("INVOICE", intervention_id=done["id"], total="118.80", tax_total="19.80")
        self._document("TRANSFER", from_warehouse="LYON", to_warehouse="VAN-2")
        self._document("ADJUSTMENT", from_warehouse="LYON", reason="counted")
        self._begin()
        self.wrong = str(self._intervention("OPEN", started=WRONG_START)["id"])

    def live(self) -> None:
        """Let one more moment pass: what runs is ended, and now and then something new begins."""
        self._moments += 1
        for time_id, intervention_id in self._running:
            self._stop(time_id, intervention_id)
        self._running = []
        if self._moments % EVERY == 0:
            self._begin()

    def _begin(self) -> None:
        intervention = self._intervention("OPEN")
        self._running.append((self._time(intervention)["id"], intervention["id"]))

    def _intervention(self, status: str, **values: object) -> Json:
        number, now = len(self.crm.kinds["interventions"]), self.crm.clock.now()
        filled = {
            "number": f"INT-{number + 1:05}",
            "subject": WORK[number % len(WORK)],
            "type": "repair",
            "priority": "normal",
            "status": status,
            "technician": TECHNICIANS[number % len(TECHNICIANS)],
            "contact_id": self._contact(),
            "site": {"street": f"{number + 3} rue des Alpes", "city": "Lyon", "postal_code": "69001", "country": "FR"},
            "planned_start": _text(now),
            "started": _text(now),
            "parts": [{"id": 1, "sku": "FLT-1", "name": "Filter", "quantity": "1", "unit_price": "19.80"}],
        }
        return self.crm.add("interventions", **{**filled, **values})

    def _time(self, intervention: Json) -> Json:
        return self.crm.add(
            "time_entries",
            user=intervention["technician"],
            activity="on site",
            intervention_id=intervention["id"],
            intervention_status=intervention["status"],
            contact_id=intervention["contact_id"],
            userStartDate=_text(self.crm.clock.now()),
            billable=True,
            validated=0,
            srvExport=1,
            exported=0,
        )

    def _stop(self, time_id: str, intervention_id: str) -> None:
        now = self.crm.clock.now()
        began = datetime.fromisoformat(self.crm.record("time_entries", time_id)["userStartDate"])
        hours = f"{(now - began + timedelta(minutes=30)).total_seconds() / 3600:.2f}"
        values = {"userEndDate": _text(now), "hours": hours, "intervention_status": "CLOSED", "validated": 1}
        self.crm.change("time_entries", time_id, **values)
        self.crm.change("interventions", intervention_id, status="CLOSED", ended=_text(now))

    def _document(self, kind: str, **values: object) -> Json:
        number = len(self.crm.kinds["documents"]) + 1
        lines = [{"id": 1, "sku": "FLT-1", "name": "Filter", "quantity": "-2" if kind == "ADJUSTMENT" else "2"}]
        now = self.crm.clock.now()
        return self.crm.add(
            "documents", type=kind, number=f"{kind[:3]}-{number:05}", status="VALIDATED", currency="EUR",
            date=f"{now:%Y-%m-%d}", lines=lines, **values,
        )  # fmt: skip

    def _contact(self) -> str | None:
        """Return the id of the newest contact; at first the CRM has none."""
        numbers = list(self.crm.kinds["contacts"])
        return f"C{numbers[-1]:06}" if numbers else None


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
