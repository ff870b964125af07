"""One daemon for one database, also after the server was away."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from erpcrm_orchestration.domain.errors import InputError
from erpcrm_orchestration.store.embedded import EmbeddedServer
from erpcrm_orchestration.store.single import SoleDaemon, is_held, only_one


def test_F35_the_second_is_refused_with_pid_and_host_of_the_first(database_url: sa.URL) -> None:
    with only_one(database_url):
        assert is_held(database_url)
        with pytest.raises(
            InputError, match=r"^E-CLI-060 database test_\d+: a daemon runs already: erpcrm up pid \d+ host \S+; "
        ):
            SoleDaemon(database_url).take()
    assert not is_held(database_url)


def test_F35_the_lock_is_taken_again_after_a_restart_of_the_server(database_url: sa.URL, server: EmbeddedServer) -> None:
    with only_one(database_url) as sole:
        assert sole.keep()
        server.stop("immediate")
        assert not sole.keep()
        server.start()
        assert sole.keep()
        assert is_held(database_url)


def test_F35_who_lost_the_lock_to_another_while_the_server_was_away_ends(database_url: sa.URL, server: EmbeddedServer) -> None:
    with only_one(database_url) as sole:
        server.stop("immediate")
        assert not sole.keep()
        server.start()
        with only_one(database_url), pytest.raises(InputError, match="E-CLI-060"):
            sole.keep()
