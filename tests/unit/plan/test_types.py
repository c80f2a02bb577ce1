"""docs/types.md says of every type what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.plan.types import ASKABLE, KIND_OF, REFUSED, REFUSED_SORTS, SUPPORTED, Kind, askable, refusal
from streams.replicas.dynamodb_items import ItemForm, Names
from streams.replicas.redis_json import RowJson
from streams.versions.entry import Token
from tests.support.shapes import make_shape

PAGE = (Path(__file__).parents[3] / "docs" / "types.md").read_text(encoding="utf-8")
SAMPLES = {Kind.integer: "7", Kind.numeric: "7", Kind.boolean: "t", Kind.bytes: "\\x00"}
JSON = {"number": b"7", "true, false": b"true"}
SECTIONS = ("Asked", "Refused")
SORTS = {
    "arrays": "array",
    "composite types": "composite",
    "multiranges": "multirange",
    "a domain over an enum, anywhere in the database": "domain over enum",
}


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


def test_every_other_type_has_its_row_and_its_reason() -> None:
    """The reason is the one that `plan check --live` gives; a type that can be asked stands where that is said."""
    asked, refused = ({name: row[1] for row in rows(heading) for name in named(row[0])} for heading in SECTIONS)
    sorts = [{SORTS[row[0]]: row[1] for row in rows(heading) if row[0] in SORTS} for heading in SECTIONS]
    assert set(asked) == ASKABLE
    assert set(refused) == set(REFUSED) - ASKABLE
    for name, reason in {**asked, **refused}.items():
        assert refusal(name, "") == reason
        assert askable(name, "", [name]) == (name in asked)
    for place, found in enumerate(sorts):
        for sort, reason in found.items():
            assert REFUSED_SORTS[sort] == reason
            assert askable("x", sort, ["int4", "interval"]) == (place == 0)
    assert {**sorts[0], **sorts[1]}.keys() == REFUSED_SORTS.keys()


def test_what_is_not_known_is_refused() -> None:
    """Only what was shown to arrive is carried; an enum whatever it is called, an array of anything not."""
    assert refusal("of_an_extension", "") is not None
    assert not askable("of_an_extension", "", ["of_an_extension"])
    assert not any(askable("x", sort, ["int4", "money"]) for sort in ("array", "composite", "multirange"))
    assert refusal("mood", "enum") is None
    assert refusal("_int4", "array") is not None
    assert refusal("mood", "domain over enum") is not None
    assert refusal("int4", "") is None
