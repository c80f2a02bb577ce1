"""One private Postgres with logical decoding for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres_server as server


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A server of our own, with `wal_level=logical`; the DSN of its empty database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(server.SETTINGS, "wal_level", "logical")
        with server.postgres_server() as found:
            yield found
