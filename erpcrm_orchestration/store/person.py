"""People of the board and what they may; sessions; links that open once. Tokens are known here by their SHA-256 alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access, Person
from erpcrm_orchestration.store.board_schema import access_type, invitation, person, person_grant, session

IDLE = timedelta(minutes=30)
"""A session that nobody used for so long is over."""
LONGEST = timedelta(hours=12)
"""A session is over after so long, however it is used."""
NOTED_EVERY = timedelta(minutes=1)
"""Use of a session is noted no more often, so that reading a page hardly ever writes."""


@dataclass(frozen=True)
class Account:
    """What signing in needs to know; `password_hash` None: the person cannot sign in with a password."""

    person: Person
    password_hash: str | None
    active: bool
    email: str | None = None
    oidc_subject: str | None = None


def granted(person_id: int, access: Access, dossier_code: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that the person has at least this right for the dossier of a row."""
    table = person_grant.c
    level = sa.cast(sa.literal(access.value), access_type)
    return sa.exists(
        sa.select(sa.literal(1)).where(
            table.person_id == person_id,
            sa.or_(table.dossier_code == EVERY_DOSSIER, table.dossier_code == dossier_code),
            table.access >= level,
        )
    )


def contact_of(connection: sa.Connection, login: str) -> tuple[str | None, str | None]:
    """Return mail address and language of an active person by the login, None for what is not known."""
    found = sa.select(person.c.email, person.c.language).where(person.c.login == login, person.c.active)
    row = connection.execute(found).one_or_none()
    return (None, None) if row is None else (row.email, row.language)


def find_session(connection: sa.Connection, token_hash: bytes, *, now: datetime) -> tuple[Person, datetime] | None:
    """Return whose session it is and when its use was last noted; None when it is over or unknown."""
    statement = (
        sa.select(person, session.c.last_seen_at, _grants())
        .join(session, session.c.person_id == person.c.person_id)
        .where(
            session.c.token_hash == token_hash,
            session.c.last_seen_at > now - IDLE,
            session.c.created_at > now - LONGEST,
            person.c.active,
        )
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else (_person(row), row["last_seen_at"])


def note_use(connection: sa.Connection, token_hash: bytes, *, now: datetime) -> None:
    """Remember that a session was used."""
    connection.execute(sa.update(session).where(session.c.token_hash == token_hash).values(last_seen_at=now))


def open_session(connection: sa.Connection, person_id: int, token_hash: bytes, *, now: datetime) -> None:
    """Begin a session, and forget those that are over."""
    connection.execute(
        sa.delete(session).where(sa.or_(session.c.last_seen_at <= now - IDLE, session.c.created_at <= now - LONGEST))
    )
    connection.execute(sa.insert(session).values(token_hash=token_hash, person_id=person_id, created_at=now, last_seen_at=now))


def close_session(connection: sa.Connection, token_hash: bytes) -> None:
    """End one session."""
    connection.execute(sa.delete(session).where(session.c.token_hash == token_hash))


def close_sessions(connection: sa.Connection, person_id: int) -> int:
    """End every session of a person; return how many."""
    return connection.execute(sa.delete(session).where(session.c.person_id == person_id)).rowcount


def find_account(
    connection: sa.Connection, *, login: str | None = None, person_id: int | None = None, oidc_subject: str | None = None
) -> Account | None:
    """Return the account with this login, number or subject."""
    statement = sa.select(person, _grants())
    if login is not None:
        statement = statement.where(person.c.login == login.casefold())
    elif person_id is not None:
        statement = statement.where(person.c.person_id == person_id)
    else:
        statement = statement.where(person.c.oidc_subject == oidc_subject)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _account(row)


def lock_unlinked(connection: sa.Connection, address: str) -> list[int]:
    """Return the active people whose login or mail address it is and to whom no identity is linked; their rows are locked."""
    known = address.casefold()
    is_theirs = sa.or_(person.c.login == known, sa.func.lower(person.c.email) == known)
    statement = sa.select(person.c.person_id).where(is_theirs, person.c.active, person.c.oidc_subject.is_(None))
    return list(connection.execute(statement.with_for_update()).scalars())


def list_accounts(connection: sa.Connection) -> list[Account]:
    """Return everybody, by login."""
    rows = connection.execute(sa.select(person, _grants()).order_by(person.c.login)).mappings()
    return [_account(row) for row in rows]


def add_person(connection: sa.Connection, *, now: datetime, **columns: object) -> int:
    """Add somebody; return the number. IntegrityError when the login is taken."""
    values = {**columns, "created_at": now, "updated_at": now}
    return int(connection.execute(sa.insert(person).values(**values).returning(person.c.person_id)).scalar_one())


def change_person(connection: sa.Connection, person_id: int, *, now: datetime, **columns: object) -> None:
    """Change columns of somebody."""
    connection.execute(sa.update(person).where(person.c.person_id == person_id).values(**columns, updated_at=now))


def set_grants(connection: sa.Connection, person_id: int, grants: Mapping[str, Access], *, by: str, now: datetime) -> None:
    """Replace what somebody may; their sessions end, so that nobody goes on with rights that were taken."""
    connection.execute(sa.delete(person_grant).where(person_grant.c.person_id == person_id))
    rows = [
        {"person_id": person_id, "dossier_code": code, "access": access.value, "granted_at": now, "granted_by": by}
        for code, access in grants.items()
    ]
    if rows:
        connection.execute(sa.insert(person_grant), rows)
    close_sessions(connection, person_id)


def has_administrator(connection: sa.Connection) -> bool:
    """True when somebody active may configure the whole installation and can sign in."""
    statement = (
        sa.select(sa.literal(1))
        .select_from(person)
        .join(person_grant)
        .where(
            person.c.active,
            person_grant.c.dossier_code == EVERY_DOSSIER,
            person_grant.c.access == sa.cast(sa.literal(Access.ADMIN.value), access_type),
            sa.or_(person.c.password_hash.is_not(None), person.c.oidc_subject.is_not(None)),
        )
        .limit(1)
    )
    return connection.scalar(statement) is not None


def invite(connection: sa.Connection, token_hash: bytes, *, person_id: int | None, now: datetime, valid_for: timedelta) -> None:
    """Make a link for a person, or for the first administrator; earlier links of the same become void."""
    same = invitation.c.person_id.is_(None) if person_id is None else invitation.c.person_id == person_id
    connection.execute(sa.delete(invitation).where(same, invitation.c.used_at.is_(None)))
    connection.execute(
        sa.insert(invitation).values(token_hash=token_hash, person_id=person_id, created_at=now, expires_at=now + valid_for)
    )


def find_invitation(connection: sa.Connection, token_hash: bytes, *, now: datetime) -> tuple[int | None] | None:
    """Return whom an unused link is for, (None,) for the first administrator's; None when it is void."""
    statement = sa.select(invitation.c.person_id).where(
        invitation.c.token_hash == token_hash, invitation.c.used_at.is_(None), invitation.c.expires_at > now
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.person_id,)


def use_invitation(connection: sa.Connection, token_hash: bytes, *, now: datetime) -> bool:
    """Use a link up; False when somebody was faster."""
    done = connection.execute(
        sa.update(invitation)
        .where(invitation.c.token_hash == token_hash, invitation.c.used_at.is_(None), invitation.c.expires_at > now)
        .values(used_at=now)
    )
    return done.rowcount == 1


def _grants() -> sa.Label[Any]:
    table = person_grant.c
    pairs = sa.func.jsonb_object_agg(table.dossier_code, table.access)
    chosen = sa.select(pairs).where(table.person_id == person.c.person_id).correlate(person).scalar_subquery()
    return sa.func.coalesce(chosen, sa.text("'{}'::jsonb")).label("grants")


def _person(row: sa.RowMapping) -> Person:
    return Person(
        person_id=row["person_id"],
        login=row["login"],
        display_name=row["display_name"],
        language=row["language"],
        theme=row["theme"],
        default_dossier_code=row["default_dossier_code"],
        grants={code: Access(access) for code, access in row["grants"].items()},
    )


def _account(row: sa.RowMapping) -> Account:
    return Account(_person(row), row["password_hash"], row["active"], row["email"], row["oidc_subject"])
