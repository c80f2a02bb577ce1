"""Rounding and cutting are what Postgres's own casts do."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest

from streams.plan.losses import CHARACTERS_MAX, DIGITS_MAX, MOMENT_DIGITS_MAX, Word, loss

pytestmark = pytest.mark.stack

NUMBERS = [
    *("0", "0.5", "-0.5", "0.4", "-0.4", "0.05", "-0.005", "0.995", "-0.995", "9.5", "-9.95", "99999.99995", "1.45"),
    *("2.5", "3.5", "-2.5", "0.499999999999999999999999", "NaN", "7" * 60 + ".5"),
    *("-" + "9" * 60 + ".95", "0." + "0" * 30 + "5", "1e-20", "12345678901234567890123456789012345678.123456"),
]
# Ties on both sides of 2000, from where Postgres counts; seconds that carry into days, years and eras.
FRACTIONS = [
    "0",
    "5",
    "05",
    "005",
    "0005",
    "00005",
    "000005",
    "499999",
    "500001",
    "999999",
    "995",
    "45",
    "95",
    "949999",
]
SECONDS = [
    "2000-01-01 00:00:00", "1999-12-31 23:59:59", "2024-02-28 23:59:59", "2023-02-28 23:59:59", "1900-02-28 23:59:59",
    "0001-01-01 00:00:00", "0044-03-15 12:34:59", "9999-12-31 23:59:59", "12000-12-31 23:59:59",
    "294276-12-31 23:59:58",
]  # fmt: skip
ANCIENT = ["0001-12-31 23:59:59", "0005-02-28 23:59:59", "0044-03-15 12:34:59", "4714-11-24 00:00:00"]
MOMENTS = [
    *("infinity", "-infinity", "2024-05-31 08:00:00", "294276-12-31 23:59:59.4"),
    *(f"{second}.{fraction}" for second in SECONDS for fraction in FRACTIONS),
    *(f"{second}.{fraction} BC" for second in ANCIENT for fraction in FRACTIONS),
]
TIMES = ["24:00:00", "00:00:00", *(f"{t}.{f}" for t in ("23:59:59", "00:00:00", "12:59:59") for f in FRACTIONS)]
TEXTS = ["", "a", "trailing   ", "üñ€😀é", "e\u0301e\u0301", " \t\n\\N ", "x" * 300, "'\"%s"]
CASTS: list[tuple[Word, str, str, Sequence[str], Sequence[int]]] = [
    ("round", "numeric", "numeric(1000, {0})", NUMBERS, [0, 1, 2, 3, 5, 20, 30, 900]),
    ("round", "timestamp", "timestamp({0})", MOMENTS, range(MOMENT_DIGITS_MAX + 1)),
    ("round", "timestamptz", "timestamptz({0})", MOMENTS, range(MOMENT_DIGITS_MAX + 1)),
    ("round", "time", "time({0})", TIMES, range(MOMENT_DIGITS_MAX + 1)),
    ("cut", "text", "varchar({0})", TEXTS, [1, 2, 3, 5, 299, CHARACTERS_MAX]),
    ("cut", "varchar", "varchar({0})", TEXTS, [1, 4]),
]


@pytest.fixture(scope="module")
def connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A session whose text output is canonical."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        opened.execute("SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'")
        yield opened


def casts(connection: psycopg.Connection[Any], kind: str, narrow: str, given: Sequence[str]) -> list[tuple[str, str]]:
    """Each value's canonical text, and that of what Postgres's cast makes of it."""
    whole, less = f"v::{kind}", f"v::{kind}::{narrow}"
    if kind == "numeric":
        whole, less = f"trim_scale({whole})", f"trim_scale({less})"
    query = f"SELECT format('%%s', {whole}), format('%%s', {less}) FROM unnest(%s::text[]) v"
    return connection.execute(query.encode(), (list(given),)).fetchall()


def wrong(word: Word, kind: str, limit: int, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Where we give another text than Postgres: what was given, wanted and found."""
    of = loss(word, limit, kind).of
    return [(given, wanted, of(given)) for given, wanted in pairs if of(given) != wanted]


@pytest.mark.parametrize(("word", "kind", "narrow", "given", "limits"), CASTS, ids=[each[1] for each in CASTS])
def test_edges(
    connection: psycopg.Connection[Any], word: Word, kind: str, narrow: str, given: Sequence[str], limits: Sequence[int]
) -> None:
    """Halves, carries into the next second, day, year and era, infinities, characters of several bytes."""
    for limit in limits:
        assert wrong(word, kind, limit, casts(connection, kind, narrow.format(limit), given)) == []


def test_random_values(connection: psycopg.Connection[Any]) -> None:
    """Numbers of all lengths, moments of all years."""
    seeded = random.Random(7)
    numbers = [
        f"{seeded.randrange(-(10**n), 10**n)}e-{seeded.randrange(2 * n)}" for n in range(1, 30) for _ in range(60)
    ]
    micros = [seeded.randrange(-211_813_488_000_000_000, 9_223_371_331_199_000_000) for _ in range(2000)]
    query = "SELECT format('%%s', 'epoch'::timestamp + v * interval '1 microsecond') FROM unnest(%s::int8[]) v"
    near = [seeded.randrange(-(10**15), 2 * 10**15) // 50_000 * 50_000 for _ in range(2000)]
    moments = [text for (text,) in connection.execute(query, ([*(m // 4 for m in micros), *near],))]
    for limit in range(MOMENT_DIGITS_MAX + 1):
        assert wrong("round", "numeric", limit, casts(connection, "numeric", f"numeric(100, {limit})", numbers)) == []
        assert wrong("round", "timestamp", limit, casts(connection, "timestamp", f"timestamp({limit})", moments)) == []


@pytest.mark.parametrize("digits", [0, 15, DIGITS_MAX - 1])
def test_numbers_that_no_cast_takes(connection: psycopg.Connection[Any], digits: int) -> None:
    """Infinities, and more digits than a precision may have: `round` has the same rule."""
    query = "SELECT v::text, trim_scale(round(v, %s))::text FROM unnest(%s::numeric[]) v"
    given = ["Infinity", "-Infinity", f"{'9' * 131_000}.{'9' * DIGITS_MAX}", f"-0.{'0' * (DIGITS_MAX - 1)}5"]
    assert wrong("round", "numeric", digits, connection.execute(query, (digits, given)).fetchall()) == []


def test_a_moment_that_is_rounded_behind_the_last_one(connection: psycopg.Connection[Any]) -> None:
    """Postgres prints it, and takes it from nobody: a Postgres replica refuses the row."""
    [(given, wanted)] = casts(connection, "timestamp", "timestamp(0)", ["294276-12-31 23:59:59.5"])
    assert (wanted, wrong("round", "timestamp", 0, [(given, wanted)])) == ("294277-01-01 00:00:00", [])
    with pytest.raises(psycopg.errors.DatetimeFieldOverflow):
        connection.execute("SELECT %s::timestamp", (wanted,))
