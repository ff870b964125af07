"""Real third-party systems, each running once per test process; built once per machine, outside of the repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from erpcrm_orchestration.store.embedded import EmbeddedServer
from tests.real.systems.bottlecrm import BottleCrm, running_bottlecrm
from tests.real.systems.oscar import OscarShop, running_oscar
from tests.real.systems.prepare import RECIPES
from tests.real.systems.tryton import TrytonErp, running_tryton

BUILDER = pytest.StashKey["subprocess.Popen[bytes]"]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin to build what is missing while other tests run."""
    needed = {name for item in items for name in getattr(item, "fixturenames", ()) if name in RECIPES}
    missing = [name for name in RECIPES if name in needed and not RECIPES[name].is_built]
    if missing and not config.option.collectonly and BUILDER not in config.stash:
        command = [sys.executable, "-m", "tests.real.systems.prepare", *missing]
        config.stash[BUILDER] = subprocess.Popen(
            command, cwd=config.rootpath, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """End a builder that nobody waits for; what it has not finished is built anew the next time."""
    builder = config.stash.get(BUILDER, None)
    if builder is None:
        return
    if builder.poll() is None:
        os.killpg(builder.pid, signal.SIGTERM)
    builder.wait()


@pytest.fixture(scope="session")
def oscar_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OscarShop]:
    """A running django-oscar with goods and clients; orders are the tests'."""
    with running_oscar(tmp_path_factory.mktemp("oscar")) as shop:
        yield shop


@pytest.fixture(scope="session")
def tryton_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the running Tryton keeps its database."""
    return tmp_path_factory.mktemp("tryton")


@pytest.fixture(scope="session")
def tryton_erp(tryton_folder: Path) -> Iterator[TrytonErp]:
    """A running Tryton with a company, customers, goods and stock; sales are the tests'."""
    with running_tryton(tryton_folder) as erp:
        yield erp


@pytest.fixture(scope="session")
def bottlecrm(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[BottleCrm]:
    """A running BottleCRM with two organisations."""
    with running_bottlecrm(tmp_path_factory.mktemp("bottlecrm"), server) as crm:
        yield crm
