"""What an order gives its program: parameters that are there, texts that can be rendered, and the audience of a preset."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import sqlalchemy as sa

from erpcrm_orchestration.domain import template
from erpcrm_orchestration.domain.configuration import MailTemplate
from erpcrm_orchestration.domain.errors import InputError, did_you_mean
from erpcrm_orchestration.domain.routine import ACCOUNT_MONITOR, BIRTHDAY_GREETING, NewOrder, missing_parameters
from erpcrm_orchestration.domain.routine_settings import MonitorParameter
from erpcrm_orchestration.domain.template import ACCOUNT_PLACEHOLDERS, MONITOR_PLACEHOLDERS
from erpcrm_orchestration.services.programs import known_programs
from erpcrm_orchestration.store.configuration import load_mail_templates
from erpcrm_orchestration.store.routine_settings import load, load_one


def checked_parameters(connection: sa.Connection, new: NewOrder) -> NewOrder:
    """Return the order, with the audience of its preset when it names none.

    Raises InputError E-ORD-005 for a parameter that is unknown, missing or names nothing, E-ORD-045 for a dry run of a program
    that has none, E-MAIL-078, 083 or 084 for texts that cannot be rendered.
    """
    _require_names(new)
    if new.program == BIRTHDAY_GREETING.code:
        require_template(connection, new.parameters["template"], ACCOUNT_PLACEHOLDERS)
        require_subject(new.parameters["subject"])
    if new.program == ACCOUNT_MONITOR.code:
        monitor = require_monitor(connection, new.parameters["monitor"])
        require_template(connection, monitor.template, MONITOR_PLACEHOLDERS, parts=("subject", "text", "html"))
        return replace(new, audience=new.audience or monitor.audience)
    return new


def _require_names(new: NewOrder) -> None:
    program = known_programs()[new.program]
    unknown = sorted(new.parameters.keys() - program.parameters.keys())
    if unknown:
        raise InputError(
            "E-ORD-005", unknown[0], f"{program.code} has no such parameter", did_you_mean(unknown[0], program.parameters)
        )
    if new.dry_run and not program.dry_run:
        raise InputError("E-ORD-045", "dry run", f"{program.code} has none", "order it without")
    missing = missing_parameters(program, new.parameters)
    if missing:
        raise InputError("E-ORD-005", program.code, f"no {' and no '.join(missing)}", "give it: the routine needs it")


def require_template(
    connection: sa.Connection, code: str, known: Collection[str], *, parts: Sequence[str] = ("text", "html")
) -> MailTemplate:
    """Return a mail template whose parts hold no other fields than those known; an order may bring a subject of its own."""
    templates = load_mail_templates(connection)
    if code not in templates:
        raise InputError("E-ORD-005", "template", f"no mail template {code!a}", did_you_mean(code, templates))
    found = templates[code]
    for name in parts:
        for fault in template.problems(getattr(found, name) or "", where=f"mail template {code} {name}", known=known):
            raise fault
    return found


def require_subject(subject: str) -> None:
    """Raise InputError when the subject of an order cannot be rendered."""
    for fault in template.problems(subject, where="subject", known=ACCOUNT_PLACEHOLDERS):
        raise fault
    template.render(subject, dict.fromkeys(ACCOUNT_PLACEHOLDERS), part="subject")


def require_monitor(connection: sa.Connection, code: str) -> MonitorParameter:
    """Return a preset of the monitor; raise InputError E-ORD-005 when there is none."""
    found: MonitorParameter | None = load_one(connection, "monitors", code)
    if found is None:
        raise InputError("E-ORD-005", "monitor", f"no preset {code!a}", did_you_mean(code, load(connection, "monitors")))
    return found
