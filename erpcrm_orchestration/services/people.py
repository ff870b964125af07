"""People of the board: who is added, what they may, whose account is closed. Every change is an audit row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from email_validator import EmailNotValidError, validate_email
from sqlalchemy.exc import IntegrityError

from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.services.sign_in import invitation_token, require_login
from erpcrm_orchestration.store import person as people
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.dossier import dossier_codes
from erpcrm_orchestration.store.person import Account


@dataclass(frozen=True)
class Wanted:
    """What an administrator wants somebody to be; `grants` tells the right for each dossier code or `*`."""

    display_name: str
    email: str | None
    grants: Mapping[str, Access]
    active: bool = True


def everybody(engine: sa.Engine) -> list[Account]:
    """Return all accounts, by login."""
    with engine.connect() as connection:
        return people.list_accounts(connection)


def find(engine: sa.Engine, person_id: int) -> Account | None:
    """Return one account, None when there is none."""
    with engine.connect() as connection:
        return people.find_account(connection, person_id=person_id)


def add(engine: sa.Engine, login: str, wanted: Wanted, *, actor: str, clock: Clock) -> tuple[int, str]:
    """Add somebody; return the number, and the token of the link with which a password is set.

    Raises InputError E-WEB-021 for a login that is none or taken, 023 for an unknown dossier, 024 for an address.
    """
    name = require_login(login)
    with engine.begin() as connection:
        _check(connection, wanted)
        try:
            person_id = people.add_person(
                connection,
                now=clock.now(),
                login=name,
                display_name=wanted.display_name.strip() or name,
                email=wanted.email,
                active=wanted.active,
            )
        except IntegrityError:
            raise InputError("E-WEB-021", "login", f"{name} is taken", "choose another one") from None
        people.set_grants(connection, person_id, wanted.grants, by=actor, now=clock.now())
        _audit(connection, None, people.find_account(connection, person_id=person_id), "add", actor, clock)
        return person_id, invitation_token(connection, person_id, clock=clock)


def change(engine: sa.Engine, person_id: int, wanted: Wanted, *, actor: str, clock: Clock) -> None:
    """Change somebody; their sessions end. Raises InputError E-WEB-023 to 026."""
    with engine.begin() as connection:
        _lock(connection)
        before = _required(connection, person_id)
        _check(connection, wanted)
        people.change_person(
            connection,
            person_id,
            now=clock.now(),
            display_name=wanted.display_name.strip() or before.person.login,
            email=wanted.email,
            active=wanted.active,
        )
        people.set_grants(connection, person_id, wanted.grants, by=actor, now=clock.now())
        if not people.has_administrator(connection):
            found = "nobody could administer any more"
            raise InputError("E-WEB-026", before.person.login, found, "make somebody else an administrator first")
        _audit(connection, before, people.find_account(connection, person_id=person_id), "change", actor, clock)


def invite(engine: sa.Engine, person_id: int, *, actor: str, clock: Clock) -> str:
    """Return the token of a new link for somebody; earlier ones become void."""
    with engine.begin() as connection:
        account = _required(connection, person_id)
        if not account.active:
            raise InputError("E-WEB-025", account.person.login, "the account is closed", "open it first")
        row = AuditRow("person", account.person.login, "invite")
        record_changes(connection, [row], now=clock.now(), actor=actor)
        return invitation_token(connection, person_id, clock=clock)


def _check(connection: sa.Connection, wanted: Wanted) -> None:
    known = {*dossier_codes(connection), EVERY_DOSSIER}
    unknown = sorted(set(wanted.grants) - known)
    if unknown:
        raise InputError("E-WEB-023", "grants", f"no dossier {unknown[0]!a:.40}", "name dossiers, or * for all")
    if wanted.email is not None:
        try:
            validate_email(wanted.email, check_deliverability=False)
        except EmailNotValidError as error:
            raise InputError("E-WEB-024", "email", str(error), "correct the address") from None


def _required(connection: sa.Connection, person_id: int) -> Account:
    account = people.find_account(connection, person_id=person_id)
    if account is None:
        raise InputError("E-WEB-025", f"person {person_id}", "there is none of this number", "look at the list")
    return account


def _lock(connection: sa.Connection) -> None:
    """Let changes of people follow each other, so that two cannot take the right from the last two administrators at once."""
    connection.execute(sa.text("LOCK TABLE board.person_grant IN SHARE ROW EXCLUSIVE MODE"))


def _audit(
    connection: sa.Connection, before: Account | None, after: Account | None, action: str, actor: str, clock: Clock
) -> None:
    account = after or before
    if account is not None:
        row = AuditRow("person", account.person.login, action, _plain(before), _plain(after))
        record_changes(connection, [row], now=clock.now(), actor=actor)


def _plain(account: Account | None) -> dict[str, object] | None:
    if account is None:
        return None
    grants = {code: access.value for code, access in account.person.grants.items()}
    return {"display_name": account.person.display_name, "email": account.email, "active": account.active, "grants": grants}
