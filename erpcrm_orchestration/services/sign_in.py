"""Who is at the board: signing in and out, sessions, and the links that set a password once."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy.exc import IntegrityError

from erpcrm_orchestration.domain.access import EVERY_DOSSIER, Access, Person
from erpcrm_orchestration.domain.clock import Clock
from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.store import person as people
from erpcrm_orchestration.store.audit import AuditRow, record_changes
from erpcrm_orchestration.store.event import record_event

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
"""Characters. Longer ones would let a stranger buy computing time."""
SETUP_VALID_FOR = timedelta(hours=24)
INVITATION_VALID_FOR = timedelta(days=7)
LOGIN_RULE = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")


@dataclass(frozen=True)
class Visit:
    """Somebody who is signed in; `token` stands in the cookie and nowhere else."""

    person: Person
    token: str


class SignInRefused(Exception):
    """Login or password is wrong, or the account is closed: which of them is told to nobody."""


def visit(engine: sa.Engine, token: str, *, clock: Clock) -> Visit | None:
    """Return who has this session, None when it is over; its use is noted once a minute."""
    now, digest = clock.now(), hashed(token)
    with engine.connect() as connection:
        found = people.find_session(connection, digest, now=now)
        if found is None:
            return None
        person, noted = found
        if now - noted >= people.NOTED_EVERY:
            people.note_use(connection, digest, now=now)
            connection.commit()
    return Visit(person, token)


def sign_in(engine: sa.Engine, login: str, password: str, *, clock: Clock, address: str | None) -> Visit:
    """Begin a session; raise SignInRefused, after the same work whether the login exists or not."""
    with engine.begin() as connection:
        account = people.find_account(connection, login=login)
    stored = account.password_hash if account and account.active else None
    matches = _matches(stored or _nobody(), password)
    if account is None or stored is None or not matches:
        refuse_sign_in(engine, login, clock=clock, address=address)
        raise SignInRefused
    with engine.begin() as connection:
        if _hasher().check_needs_rehash(stored):
            people.change_person(connection, account.person.person_id, now=clock.now(), password_hash=_hash(password))
        return _begin(connection, account.person, clock=clock, address=address)


def sign_in_as(engine: sa.Engine, subject: str, *, email: str | None, clock: Clock, address: str | None) -> Visit:
    """Begin the session of somebody whom the identity provider vouches for; raise SignInRefused for a stranger.

    `email` is an address that the provider has verified: the one account of that address is linked at its first sign-in.
    """
    with engine.begin() as connection:
        account = people.find_account(connection, oidc_subject=subject)
        if account is None and email is not None:
            account = _linked(connection, subject, email, clock=clock)
        if account is not None and account.active:
            return _begin(connection, account.person, clock=clock, address=address)
    refuse_sign_in(engine, email or subject, clock=clock, address=address)
    raise SignInRefused


def refuse_sign_in(engine: sa.Engine, actor: str, *, clock: Clock, address: str | None) -> None:
    """Note that somebody was not let in."""
    with engine.begin() as connection:
        record_event(connection, at=clock.now(), actor=actor, action="sign_in", outcome="failed", address=address)


def sign_out(engine: sa.Engine, here: Visit, *, clock: Clock, address: str | None) -> None:
    """End this session."""
    with engine.begin() as connection:
        people.close_session(connection, hashed(here.token))
        record_event(connection, at=clock.now(), actor=here.person.login, action="sign_out", address=address)


def setup_token(engine: sa.Engine, *, clock: Clock) -> str | None:
    """Return the token of a link that makes the first administrator; None when there is one."""
    token = secrets.token_urlsafe(32)
    with engine.begin() as connection:
        if people.has_administrator(connection):
            return None
        people.invite(connection, hashed(token), person_id=None, now=clock.now(), valid_for=SETUP_VALID_FOR)
    return token


def invitation_token(connection: sa.Connection, person_id: int, *, clock: Clock) -> str:
    """Return the token of a link with which somebody sets a password; earlier ones become void."""
    token = secrets.token_urlsafe(32)
    people.invite(connection, hashed(token), person_id=person_id, now=clock.now(), valid_for=INVITATION_VALID_FOR)
    return token


def invited(engine: sa.Engine, token: str, *, clock: Clock) -> tuple[Person | None] | None:
    """Return whom a link is for, (None,) for the first administrator's; None when it is void."""
    with engine.connect() as connection:
        found = people.find_invitation(connection, hashed(token), now=clock.now())
        if found is None or found[0] is None:
            return found if found is None else (None,)
        account = people.find_account(connection, person_id=found[0])
    return None if account is None or not account.active else (account.person,)


def accept(engine: sa.Engine, token: str, password: str, *, login: str | None, clock: Clock, address: str | None) -> Visit:
    """Use a link: set the password, make the first administrator when it is for nobody yet, and begin a session.

    Raises InputError E-WEB-020 to 022 for a void link, a login or a password that will not do.
    """
    require_password(password)
    with engine.begin() as connection:
        found = people.find_invitation(connection, hashed(token), now=clock.now())
        if found is None or not people.use_invitation(connection, hashed(token), now=clock.now()):
            raise InputError("E-WEB-020", "link", "it was used or is too old", "ask an administrator for another one")
        person_id = found[0] if found[0] is not None else _first(connection, login or "", clock=clock)
        people.change_person(connection, person_id, now=clock.now(), password_hash=_hash(password))
        people.close_sessions(connection, person_id)
        account = people.find_account(connection, person_id=person_id)
        if account is None or not account.active:
            raise InputError("E-WEB-020", "link", "its account is closed", "ask an administrator")
        return _begin(connection, account.person, clock=clock, address=address)


def require_password(password: str) -> None:
    """Raise InputError E-WEB-022 for a password that is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        found = f"{len(password)} characters"
        raise InputError("E-WEB-022", "password", found, f"take {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}")


def require_login(login: str) -> str:
    """Return the login in small letters; raise InputError E-WEB-021 when it is none."""
    clean = login.strip().casefold()
    if not LOGIN_RULE.fullmatch(clean):
        raise InputError("E-WEB-021", "login", f"{login!a:.60}", "take letters, digits and . _ @ + -, at most 128")
    return clean


def hashed(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _begin(connection: sa.Connection, person: Person, *, clock: Clock, address: str | None) -> Visit:
    token = secrets.token_urlsafe(32)
    people.open_session(connection, person.person_id, hashed(token), now=clock.now())
    record_event(connection, at=clock.now(), actor=person.login, action="sign_in", address=address)
    return Visit(person, token)


def _linked(connection: sa.Connection, subject: str, email: str, *, clock: Clock) -> people.Account | None:
    """Return the account that is this identity's from now on; None when none has the address, or which one is not clear."""
    found = people.lock_unlinked(connection, email)
    if len(found) != 1:
        return None
    people.change_person(connection, found[0], now=clock.now(), oidc_subject=subject)
    account = people.find_account(connection, person_id=found[0])
    if account is not None:
        row = AuditRow("person", account.person.login, "link", after={"oidc_subject": subject})
        record_changes(connection, [row], now=clock.now(), actor=account.person.login)
    return account


def _first(connection: sa.Connection, login: str, *, clock: Clock) -> int:
    name = require_login(login)
    try:
        person_id = people.add_person(connection, now=clock.now(), login=name, display_name=name)
    except IntegrityError:
        raise InputError("E-WEB-021", "login", f"{name} is taken", "choose another one") from None
    people.set_grants(connection, person_id, {EVERY_DOSSIER: Access.ADMIN}, by="setup", now=clock.now())
    return person_id


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    """Return a hash that no password matches, so that an unknown login costs what a known one costs."""
    return _hash(secrets.token_urlsafe(32))


def _hash(password: str) -> str:
    return _hasher().hash(password)


def _matches(stored: str, password: str) -> bool:
    try:
        return len(password) <= LONGEST_PASSWORD and _hasher().verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
