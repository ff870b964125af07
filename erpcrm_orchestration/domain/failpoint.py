"""Named places between two side effects at which a test may end the process: `ERPCRM_FAILPOINT=name:kill`.

Without the variable a failpoint costs one dictionary lookup. Several may be named, separated by commas.
Source of the idea: FreeBSD fail(9).
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "ERPCRM_FAILPOINT"


class FailpointRaised(RuntimeError):
    """The failpoint was asked to raise."""


def failpoint(name: str) -> None:
    """Do what ERPCRM_FAILPOINT asks for this name: kill, term, raise, exit, sleep (30 s) or stop (SIGSTOP)."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    for item in wanted.split(","):
        point, _, action = item.partition(":")
        if point.strip() == name:
            _act(name, action.strip())


def _act(name: str, action: str) -> None:
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case "stop":
            # The thread that is here: another one may take a signal of the process, and this one goes on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        case "exit":
            os._exit(70)
        case "sleep":
            time.sleep(30)
        case "raise":
            raise FailpointRaised(name)
        case _:
            raise ValueError(f"{VARIABLE}: unknown action {action!r} for {name}; use kill, term, raise, exit, sleep or stop")
