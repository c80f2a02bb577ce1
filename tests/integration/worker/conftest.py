"""A town on the shared servers: two tables, three replicas, a worker for each; and how to make another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streams.local.stack import Stack
from tests.support.bank import Bank

TOWN = """
CREATE TABLE person (id int PRIMARY KEY, name text, city text, born date, big text);
CREATE TABLE thing (id int PRIMARY KEY, note text);
INSERT INTO person SELECT n, 'name ' || n, (ARRAY['Oslo', 'Bergen', 'Bodø'])[1 + n % 3], '2000-01-01'::date + n, NULL
  FROM generate_series(1, 300) n;
INSERT INTO thing SELECT n, 'note ' || n FROM generate_series(1, 100) n;
"""
TABLES = {"public.person": ["id"], "public.thing": ["id"]}
REPLICAS: dict[str, dict[str, dict[str, Any]]] = {
    "reports": {"public.person": {}, "public.thing": {}},
    "cache": {
        "public.person": {
            "columns": {"rename": {"name": "full_name"}, "omit": ["big"]},
            "where": [{"column": "city", "op": "in", "value": ["Oslo", "Bergen"]}],
        },
    },
    "lookup": {"public.person": {"where": [{"column": "id", "op": "<=", "value": 200}]}},
}

MakeBank = Callable[..., Bank]


@pytest.fixture(scope="module")
def make_bank(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBank]:
    """Makes banks that are removed after the module; by default a town with the replicas that are named."""
    with ExitStack() as made:

        def make(*stores: str, ddl: str = TOWN, tables: Any = TABLES, replicas: Any = REPLICAS, **more: Any) -> Bank:
            folder: Path = tmp_path_factory.mktemp("bank")
            kept = {store: replicas[store] for store in stores or replicas}
            bank = Bank(shared_stack, folder, ddl, tables, kept, **more)
            made.callback(bank.close)
            return bank

        yield make
