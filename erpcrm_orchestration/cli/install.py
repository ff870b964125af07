"""Which module brings which command. A module is imported when its command is called: `--help` needs none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

PACKAGE = "erpcrm_orchestration.cli"

COMMANDS: dict[str, tuple[str, str]] = {
    "migrate": ("database:migrate_command", "Bring the database to this program's schema. Doing it again changes nothing."),
    "up": (
        "up:up_command",
        "Run everything on this machine until Ctrl-C: database, code server, daemon, Dagster UI, board, receiver of webhooks.",
    ),
    "env": ("up:env_command", "Print what Dagster's own commands need, for the shell."),
    "demo": ("demo:demo_command", "Run the simulated company Meridian Pro on the embedded database, until Ctrl-C."),
    "doctor": ("doctor:doctor_command", "Look at everything that may be wrong here; exit with 1 when something is."),
    "refresh": ("refresh:refresh_command", "Refresh dossiers now."),
    "integrate": (
        "integrate:integrate_command",
        "Do one round now: read the systems, integrate, fetch what is missing, deliver.",
    ),
    "status": ("status:status_command", "Show the stored interaction state: the ten values of the widget."),
    "watchers": (
        "observation:watchers_command",
        "Show the watchers: ON while the heartbeat is at most two poll intervals old.",
    ),
    "ticks": ("observation:ticks_command", "List the newest due ticks and what became of each."),
    "alerts": ("observation:alerts_command", "List the checks that fail now, with what to do about each."),
    "board": ("board:board_command", "Serve the web board until Ctrl-C."),
    "webhooks": ("webhooks:app", "The receiver of webhooks."),
    "db": ("database:app", "The embedded PostgreSQL server."),
    "config": ("config:app", "Configuration as code: a folder of YAML, checked, compared, applied, written back."),
    "dossier": ("dossier:app", "The dossiers: add, list, set fields, deactivate."),
    "mails": ("mails:app", "The mail outbox."),
    "datasets": ("datasets:app", "Datasets of the data hub: list, show, fix, relaunch."),
    "tasks": ("tasks:app", "Inter-company tasks: list, pause, resume, reactivate."),
    "inbox": ("inbox:app", "What was received: list, show, fix, relaunch, journey, audit."),
    "rebuild": (
        "rebuild:rebuild_command",
        "Make the tables of an entity anew from the inbox; without --yes say what would change.",
    ),
    "conflicts": ("conflicts:app", "Fields that two systems changed differently: list, show, decide."),
    "reconcile": (
        "reconcile:reconcile_command",
        "Compare what the systems hold with what we hold: 0 equal, 1 differences, 3 a system could not be read.",
    ),
    "fetch": ("fetch:fetch_command", "Fetch one record of a system."),
    "work": ("work:app", "Requests of ours to the systems: list, requeue, drop."),
    "connections": ("connections:app", "The connections to other systems: list, resume, drift."),
    "order": ("order:app", "Execution orders of background routines: add, list, show, cancel, retry, programs."),
    "audience": ("routines:audience", "The audiences of routines: preview."),
    "classes": ("routines:classes", "The class transition rules: simulate."),
    "mapping": ("mapping:app", "Words and units of the systems: worklist, set, list, remove, ratio."),
}
"""Name -> where it is, and its line in the list of commands: the beginning of what its own help says."""


class Deferred(TyperCommand):
    """A command that is known by its name and its line only, until it is called."""

    def __init__(self, name: str, place: str, line: str) -> None:
        super().__init__(name=name, help=line)
        self._place = place

    def make_context(self, *arguments: Any, **extra: Any) -> Any:  # noqa: ANN401 - hands on what the real command takes
        """Let the real command read its arguments; whatever follows is done by that one."""
        return self.load().make_context(*arguments, **extra)

    def load(self) -> Any:  # noqa: ANN401 - typer has no public name for the union of command and group
        """Import the module and return its command, or its group of commands."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(f"{PACKAGE}.{module}"), attribute)
        if isinstance(found, typer.Typer):
            return unsuggesting(typer.main.get_group(found))
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return typer.main.get_command(alone)


def unsuggesting(group: TyperGroup) -> TyperGroup:
    """Return the group with typer's own suggestions off: the nearest command stands in our message."""
    group.suggest_commands = False
    return group


def deferred_commands() -> list[Deferred]:
    """Return every command of the program, none of them imported."""
    return [Deferred(name, place, line) for name, (place, line) in COMMANDS.items()]
