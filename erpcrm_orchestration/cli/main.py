"""The command `erpcrm`: one typer application; every error is one line, every exit code has a meaning.

0 all is well; 1 found something to look at; 2 input; 3 source; 4 database; 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from erpcrm_orchestration.cli.install import register
from erpcrm_orchestration.domain.errors import ErpcrmError, Findings, InputError, did_you_mean

INTERRUPTED = 130

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer brings its own click; the parent of its public BadParameter is what every misuse raises."""

app = typer.Typer(
    name="erpcrm",
    help="Keep ERP, CRM, shop and field teams in step, in the open.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
register(app)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; errors go to stderr as one line each."""
    command = typer.main.get_command(app)
    names = sorted(getattr(command, "commands", {}))
    try:
        if not arguments:
            raise InputError("E-CLI-051", "erpcrm", "no command", f"try one of {', '.join(names)}, or --help")
        result = command.main(args=arguments, prog_name="erpcrm", standalone_mode=False)
    except ErpcrmError as error:
        return _report(error)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    except UsageError as error:
        return _report(_misuse(error))
    return result if isinstance(result, int) else 0


def _report(error: ErpcrmError) -> int:
    for line in error.lines if isinstance(error, Findings) else (str(error),):
        typer.echo(line, err=True)
    return error.errors[0].exit_code if isinstance(error, Findings) else error.exit_code


def _misuse(error: Exception) -> InputError:
    """Say a misuse in our form: which command, what was typed, what is known."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "erpcrm"
    found = str(getattr(error, "message", error))
    commands = getattr(context.command, "commands", {}) if context else {}
    if found.startswith("No such command"):
        word = found.split("'")[1]
        return InputError("E-CLI-052", where, f"unknown command {word}", did_you_mean(word, commands))
    if found.startswith("Missing command"):
        return InputError("E-CLI-051", where, "no command", f"try one of {', '.join(sorted(commands))}, or --help")
    option = getattr(error, "option_name", None)
    if option and context:
        known = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return InputError("E-CLI-050", where, f"unknown option {option}", did_you_mean(option, known))
    return InputError("E-CLI-050", where, found.rstrip("."), f"see `{where} --help`")


if __name__ == "__main__":
    main()
