"""The command `erpcrm`: one typer application; every error is one line, every exit code has a meaning.

0 all is well; 1 found something to look at; 2 input; 3 source; 4 database; 130 interrupted; 143 terminated.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperGroup

from erpcrm_orchestration.cli.install import deferred_commands, unsuggesting
from erpcrm_orchestration.domain.errors import ErpcrmError, Findings, InputError, did_you_mean

INTERRUPTED = 130
TERMINATED = 143
UNKNOWN_COMMAND = "No such command "

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer brings its own click; the parent of its public BadParameter is what every misuse raises."""

HELP = "Keep ERP, CRM, shop and field teams in step, in the open."


def main() -> None:
    """Run the command line of this process and exit with its code."""
    # What is open is closed then, and leases are freed, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; errors go to stderr as one line each."""
    program = unsuggesting(TyperGroup(name="erpcrm", help=HELP, commands=deferred_commands()))
    try:
        if not arguments:
            raise _no_command("erpcrm", program.commands)
        result = program.main(args=arguments, prog_name="erpcrm", standalone_mode=False)
        sys.stdout.flush()
    except ErpcrmError as error:
        result = _ended_by(error) or _report(error)
    except RuntimeError as error:
        # The interpreter's own locks may be broken by an interruption.
        if not (result := _ended_by(error)):
            raise
    except (typer.Abort, KeyboardInterrupt):
        result = INTERRUPTED
    except UsageError as error:
        return _report(_misuse(error))
    except BrokenPipeError:
        # Whoever read has enough (`| head`): nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if result == INTERRUPTED:
        typer.echo("interrupted", err=True)
    return result if isinstance(result, int) else 0


def _ended_by(error: BaseException) -> int:
    """Return the exit code of the signal that broke a statement or a lock, so that it came out as this error; 0 for none."""
    seen = [error]
    for one in seen:
        if isinstance(one, KeyboardInterrupt):
            return INTERRUPTED
        if isinstance(one, SystemExit) and one.code == TERMINATED:
            return TERMINATED
        seen += [each for each in (one.__cause__, one.__context__) if each is not None and each not in seen]
    return 0


def _report(error: ErpcrmError) -> int:
    for line in error.lines if isinstance(error, Findings) else (str(error),):
        typer.echo(line, err=True)
    return error.errors[0].exit_code if isinstance(error, Findings) else error.exit_code


def _misuse(error: Any) -> InputError:  # noqa: ANN401 - what the parser raises has no public name
    """Say a misuse in our form: which command, what was typed, what is known."""
    where, command = (error.ctx.command_path, error.ctx.command) if error.ctx else ("erpcrm", None)
    found = error.format_message().rstrip(".")
    commands = getattr(command, "commands", {})
    if found.startswith(UNKNOWN_COMMAND):
        word = str(ast.literal_eval(found.removeprefix(UNKNOWN_COMMAND)))
        return InputError("E-CLI-052", where, f"unknown command {word or repr(word)}", did_you_mean(word, commands))
    if found.startswith("Missing command"):
        return _no_command(where, commands)
    if found.startswith("No such option"):
        parameters = command.get_params(error.ctx) if command else []
        known = [name for one in parameters for name in (*one.opts, *one.secondary_opts) if name.startswith("--")]
        return InputError("E-CLI-050", where, f"unknown option {error.option_name}", did_you_mean(error.option_name, known))
    return InputError("E-CLI-050", where, found, f"see `{where} --help`")


def _no_command(where: str, commands: Iterable[str]) -> InputError:
    return InputError("E-CLI-051", where, "no command", f"try one of {', '.join(sorted(commands))}, or --help")


if __name__ == "__main__":
    main()
