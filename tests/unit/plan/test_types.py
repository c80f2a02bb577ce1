"""docs/types.md says of every type what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.plan.types import KIND_OF, REFUSED, REFUSED_SORTS, SUPPORTED, Kind, refusal
from streams.replicas.dynamodb_items import ItemForm, Names
from streams.replicas.redis_json import RowJson
from streams.versions.entry import Token
from tests.support.shapes import make_shape

PAGE = (Path(__file__).parents[3] / "docs" / "types.md").read_text(encoding="utf-8")
SAMPLES = {Kind.integer: "7", Kind.numeric: "7", Kind.boolean: "t", Kind.bytes: "\\x00"}
JSON = {"number": b"7", "true, false": b"true"}
SORTS = {"arrays": "array", "composite types": "composite", "multiranges": "multirange"}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that follows a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| type "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def named(cell: str) -> list[str]:
    """The types a first cell is about; what stands in brackets is how SQL writes them."""
    return re.findall(r"`(\w+)`", cell.partition("(")[0])


CARRIED = {name: row for row in rows("Carried") for name in named(row[0])}


def test_every_type_that_is_carried_has_its_row() -> None:
    """And no row is about another one."""
    assert set(CARRIED) == SUPPORTED


@pytest.mark.parametrize("name", sorted(SUPPORTED))
def test_a_type_is_stored_as_its_row_says(name: str) -> None:
    """The JSON of Redis and the attribute of DynamoDB."""
    _, _, postgres, redis, dynamodb = CARRIED[name]
    shape = make_shape({"id": "int4", "v": name}, ["id"])
    row = ("1", SAMPLES.get(KIND_OF[name], "x"))
    assert postgres == "the same type"
    assert list(ItemForm(shape, Names()).live(row, Token(1, 1, 0))["v"]) == [dynamodb.partition(";")[0]]
    stored = RowJson(["id", "v"], ["int4", name]).encode(row).partition(b'"v":')[2].removesuffix(b"}")
    assert stored == JSON[redis] if redis in JSON else stored.startswith(b'"')


def test_every_refused_type_has_its_row_and_its_reason() -> None:
    """The reason is the one that `plan check --live` gives."""
    told = {name: row[1] for row in rows("Refused") for name in named(row[0])[:1]}
    assert set(told) == {*REFUSED, "tsquery"}
    told |= {SORTS[row[0]]: row[1] for row in rows("Refused") if row[0] in SORTS}
    for name, reason in REFUSED.items():
        assert refusal(name, "") == reason == told[name]
    assert {name: told[name] for name in SORTS.values()} == {name: REFUSED_SORTS[name] for name in SORTS.values()}
    assert set(SORTS.values()) | {"domain over enum"} == set(REFUSED_SORTS)


def test_what_is_not_known_is_refused() -> None:
    """Only what was shown to arrive is carried; an enum whatever it is called, an array of anything not."""
    assert refusal("tsquery", "") is not None
    assert refusal("mood", "enum") is None
    assert refusal("_int4", "array") is not None
    assert refusal("mood", "domain over enum") is not None
    assert refusal("int4", "") is None
