"""The simulated CRM over REST, with tokens for pages: accounts, contacts, the field service's work, and the care of customers.

A contact is a customer or a lead, a person somebody who is spoken with there, a user somebody of ours. An e-mail address
belongs to one record of a kind. `last_changed_at` is when people last changed a record: what a program writes over HTTP moves
its `updated_at` only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime

from erpcrm_orchestration.demo.collection import Collection, Entry
from erpcrm_orchestration.demo.idempotency import Idempotency
from erpcrm_orchestration.demo.message import Answer, Json, Refused, Request, json_answer
from erpcrm_orchestration.demo.web import WebSystem
from erpcrm_orchestration.domain.clock import Clock

ROOT = "/api/v2"
_BEFORE_ALL = -1
FIELDS: Mapping[str, frozenset[str]] = {
    "accounts": frozenset({"name", "email", "phone", "website", "vat_number", "external_ref", "owner", "address"}),
    "contacts": frozenset(
        {
            "account_id", "first_name", "last_name", "email", "second_email", "phone", "title", "external_ref", "address",
            "language", "type", "class", "birth_date", "owner_id",
        }
    ),
    "interventions": frozenset(
        {
            "number", "subject", "type", "priority", "status", "technician", "report", "contact_id", "site", "planned_start",
            "planned_end", "started", "ended", "parts",
        }
    ),
    "time_entries": frozenset(
        {
            "user", "activity", "project", "comment", "intervention_id", "intervention_status", "contact_id", "userStartDate",
            "userEndDate", "hours", "billable", "validated", "srvExport", "exported",
        }
    ),
    "documents": frozenset(
        {
            "type", "number", "status", "contact_id", "intervention_id", "currency", "total", "tax_total", "date", "due_date",
            "from_warehouse", "to_warehouse", "reason", "lines",
        }
    ),
    "users": frozenset({"code", "name", "email", "active"}),
    "persons": frozenset({"code", "first_name", "last_name", "email", "phone", "title", "birth_date", "contact_id"}),
    "opportunities": frozenset(
        {
            "number", "subject", "stage", "status", "currency", "amount", "contact_id", "person_id", "owner_id", "opened",
            "closed",
        }
    ),
    "occurrences": frozenset(
        {"number", "subject", "type", "priority", "status", "contact_id", "person_id", "owner_id", "opened", "closed"}
    ),
    "activities": frozenset(
        {
            "type", "subject", "status", "contact_id", "person_id", "opportunity_id", "occurrence_id", "owner_id", "occurred",
            "due", "done",
        }
    ),
}  # fmt: skip
"""Kind -> its fields."""
LETTERS: Mapping[str, str] = {
    "accounts": "A", "contacts": "C", "interventions": "I", "time_entries": "T", "documents": "D", "users": "U", "persons": "P",
    "opportunities": "O", "occurrences": "Q", "activities": "H",
}  # fmt: skip
"""Kind -> the letter that begins its ids."""
ADDRESS = ("street", "city", "postal_code", "region", "country")
FILTERS = ("email", "external_ref", "account_id")


class Crm(WebSystem):
    """Ids are texts such as A000001, C000001, I000001; a deleted record stays, with `deleted_at`."""

    def __init__(self, *, token: str = "crm_demo", most: int = 200, clock: Clock | None = None, seed: int = 998) -> None:  # noqa: S107
        super().__init__(clock=clock, seed=seed)
        self.most = most
        self.idempotency = Idempotency()
        self.kinds = {kind: Collection() for kind in FIELDS}
        self._token = token
        kinds = "|".join(FIELDS)
        self.route("GET", f"{ROOT}/({kinds})", self._list)
        self.route("POST", f"{ROOT}/({kinds})", self._post)
        self.route("GET", f"{ROOT}/({kinds})/([A-Z][0-9]+)", self._get)
        self.route("PATCH", f"{ROOT}/({kinds})/([A-Z][0-9]+)", self._patch)
        self.route("DELETE", f"{ROOT}/({kinds})/([A-Z][0-9]+)", self._delete)

    # What people do.

    def add(self, kind: str, **values: object) -> Json:
        """Add a record of a kind; raise Refused (409) when its e-mail address is taken."""
        return self.add_at(self.clock.now(), kind, **values)

    def add_at(self, at: datetime, kind: str, **values: object) -> Json:
        """Add a record of a kind as if it was done at an instant before now; raise Refused (409) as `add` does."""
        with self.lock:
            self._refuse_taken(kind, values.get("email"), None)
            number = self.kinds[kind].next_id()
            blank: Json = dict.fromkeys(sorted(FIELDS[kind]))
            record = {"id": f"{LETTERS[kind]}{number:06}", **blank, **_values(values), "created_at": _text(at)}
            record |= {"updated_at": None, "last_changed_at": _text(at), "deleted_at": None}
            return self._keep(kind, record, at, at)

    def change(self, kind: str, record_id: str, **values: object) -> Json:
        """Change fields of a record."""
        return self._changed(kind, record_id, {"last_changed_at": _text(self.clock.now()), **values})

    def delete(self, kind: str, record_id: str) -> Json:
        """Mark a record as deleted; its e-mail address is free again."""
        return self.change(kind, record_id, deleted_at=_text(self.clock.now()))

    def record(self, kind: str, record_id: str) -> Json:
        """Return a record as it is served."""
        with self.lock:
            return self.kinds[kind].record(int(record_id[1:]))

    def find(self, kind: str, **words: str) -> list[Json]:
        """Return the records, not deleted, whose fields of FILTERS have these words."""
        with self.lock:
            everything = (self.kinds[kind].record(number) for number in self.kinds[kind])
            wanted = {**words, "deleted_at": None}
            return [one for one in everything if all(one.get(name) == word for name, word in wanted.items())]

    def disturb(self) -> None:
        with self.lock:
            oldest = self.kinds["contacts"].oldest_changed()
            if oldest is not None:
                self.change("contacts", f"C{oldest:06}", title="changed while it was listed")

    # How records are kept.

    def _changed(self, kind: str, record_id: str, values: Mapping[str, object]) -> Json:
        with self.lock:
            number = int(record_id[1:])
            self._refuse_taken(kind, values.get("email"), record_id)
            record = self.kinds[kind].record(number)
            created = self.kinds[kind].entry(number).created
            return self._keep(kind, {**record, **_values(values)}, created, self.clock.now())

    def _keep(self, kind: str, record: Json, created: datetime, now: datetime) -> Json:
        record = {**record, "updated_at": _text(now)}
        facets = {name: str(record.get(name)) for name in FILTERS} | {"deleted": str(record["deleted_at"] is not None)}
        self.kinds[kind].put(int(record["id"][1:]), record, Entry(b"", created, now, facets))
        return record

    def _refuse_taken(self, kind: str, email: object, own_id: str | None) -> None:
        if not email:
            return
        found = self.kinds[kind].list("id", limit=1, where={"email": {str(email)}, "deleted": {"False"}})
        existing = found.last and self.kinds[kind].record(found.last[1])
        if existing and existing["id"] != own_id:
            raise Refused(409, "email_taken", f"another record of {kind} has this e-mail address", {"existing": existing})

    # How requests are answered.

    def authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise Refused(401, "unauthorized", "the bearer token is missing or wrong")

    def _list(self, request: Request, kind: str) -> Answer:
        where = {name: {request.query[name]} for name in FILTERS if name in request.query}
        if request.query.get("include_deleted") != "true":
            where["deleted"] = {"False"}
        limit = request.number("limit", 50, least=1, most=self.most)
        part = self.kinds[kind].list("modified", limit=limit, after=_start(request), where=where)
        has_more = part.total > len(part.bodies)
        token = _token(*part.last) if has_more and part.last else None
        page = b'{"data":[%s],"has_more":%s,"next_token":%s}' % (
            b",".join(part.bodies),
            b"true" if has_more else b"false",
            b"null" if token is None else b'"%s"' % token.encode(),
        )
        return json_answer(200, page)

    def _existing(self, kind: str, record_id: str) -> int:
        number = int(record_id[1:])
        if record_id[0] != LETTERS[kind] or number not in self.kinds[kind]:
            raise Refused(404, "not_found", f"no such record in {kind}")
        return number

    def _get(self, _request: Request, kind: str, record_id: str) -> Answer:
        return json_answer(200, self.kinds[kind].entry(self._existing(kind, record_id)).body)

    def _post(self, request: Request, kind: str) -> Answer:
        return self.idempotency.once(request, lambda: json_answer(201, self.add(kind, **_known(kind, request.json()))))

    def _patch(self, request: Request, kind: str, record_id: str) -> Answer:
        self._existing(kind, record_id)
        change = _known(kind, request.json())
        return self.idempotency.once(request, lambda: json_answer(200, self._changed(kind, record_id, change)))

    def _delete(self, _request: Request, kind: str, record_id: str) -> Answer:
        self._existing(kind, record_id)
        self.delete(kind, record_id)
        return Answer(204, b"")


def _known(kind: str, body: Json) -> Json:
    unknown = sorted(set(body) - FIELDS[kind])
    if unknown:
        raise Refused(422, "unknown_field", f"unknown: {', '.join(unknown)}", {"fields": unknown})
    email = body.get("email")
    if email is not None and "@" not in str(email):
        raise Refused(422, "invalid_email", "the e-mail address is not valid", {"fields": ["email"]})
    return body


def _values(values: Mapping[str, object]) -> Json:
    address = values.get("address")
    whole = {"address": {**dict.fromkeys(ADDRESS), **address}} if isinstance(address, Mapping) else {}
    return {**values, **whole}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _token(at: datetime, number: int) -> str:
    return base64.urlsafe_b64encode(f"{_text(at)}|{number}".encode()).decode()


def _start(request: Request) -> tuple[datetime, int] | None:
    token, since = request.query.get("page_token"), request.query.get("updated_since")
    try:
        if token:
            at, _, number = base64.urlsafe_b64decode(token).decode().partition("|")
            return datetime.fromisoformat(at), int(number)
        # At or after: the ids begin at 1, so that all of this instant come after the key.
        return (_aware(datetime.fromisoformat(since.replace(" ", "+"))), _BEFORE_ALL) if since else None
    except (ValueError, binascii.Error) as error:
        raise Refused(400, "invalid_parameter", "page_token or updated_since is not valid") from error


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("no zone")
    return at
