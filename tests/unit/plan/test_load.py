"""Reading plan files: bad input gives one clear error with its place."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from streams.plan.check import load_plan
from streams.plan.load import FILE_BYTES_MAX, UnreadablePlanError, parse_document, read_document
from streams.plan.model import Plan
from tests.unit.plan.plans import EXAMPLE


def _error(text: str) -> str:
    with pytest.raises(UnreadablePlanError) as caught:
        parse_document(text, "p.yaml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_malformed_yaml_names_line_and_column() -> None:
    """The place of the mistake is in the sentence."""
    assert "p.yaml, line 2, column 4" in _error("a: 1\nb: [1\nc: 2\n") or "line 3" in _error("a: 1\nb: [1\nc: 2\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("a: 1\n---\nb: 1\n", "more than one document"),
        ("a: 1\na: 2\n", "line 2, column 1: has the key a a second time"),
        ("x: {a: 1, a: 2}\n", "line 1, column 11"),
        ("a: !!python/object/apply:os.system [x]\n", "a plan does not use"),
        ("a: !secret x\n", "!secret, which a plan does not use"),
        ("? [1, 2]\n: x\n", "key that is not text"),
        ("a: *nobody\n", "line 1"),
        ("a: &x [*x]\n", "more than a plan can hold"),
        ('a: "\\0"\n', "holds a character that is not text"),
        ('a: "\\ud800"\n', "holds a character that is not text"),
        ("a: \x01\n", "not valid YAML"),
        ("a: &x 1\nb:\n  <<: *x\n", "not a mapping"),
        ("a: !!int x\n", "does not fit its tag"),
    ],
)
def test_bad_documents(text: str, words: str) -> None:
    """Each kind of unusable document has its own sentence."""
    assert words in _error(text)


def test_nesting_without_end_is_refused() -> None:
    """Depth is bounded, however the file is written."""
    assert "plan" in _error("[" * 5000 + "]" * 5000)
    assert "more than a plan can hold" in _error("a: " + "{b: " * 40 + "1" + "}" * 40)


def test_aliases_within_aliases_are_bounded() -> None:
    """A small file that unfolds into a billion values is refused quickly."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "aliases within aliases" in _error("\n".join(lines))


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """More than a plan can need is refused before it is parsed."""
    path = tmp_path / "p.yaml"
    path.write_text("# " + "x" * FILE_BYTES_MAX)
    with pytest.raises(UnreadablePlanError, match="larger than 2048 KiB") as caught:
        read_document(path)
    assert caught.value.hint


@pytest.mark.parametrize("content", [None, b"\xff\xfea: 1"])
def test_a_file_that_is_not_there_or_not_text(tmp_path: Path, content: bytes | None) -> None:
    """Both are one sentence that names the file."""
    path = tmp_path / "p.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadablePlanError, match=r"p\.yaml") as caught:
        read_document(path)
    assert caught.value.hint


def test_values_are_what_they_look_like() -> None:
    """`on`, times and dates stay text, `=` is an operator, decimals are exact."""
    text = "a: on\nb: 1:30\nc: 2024-01-01\nd: =\ne: 0.1\nf: 010\ng: true\nh: ~\ni: 1e3\nj: 0x10\nk: '1'\n"
    expected = {"a": "on", "b": "1:30", "c": "2024-01-01", "d": "=", "e": Decimal("0.1"), "f": 10, "g": True, "h": None}
    assert parse_document(text, "p").data == {**expected, "i": Decimal(1000), "j": "0x10", "k": "1"}


def test_merge_keys_give_way_to_own_keys() -> None:
    """`<<` brings in what the mapping does not say itself."""
    document = parse_document("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "p")
    assert document.data["y"] == {"a": 1, "b": 3}


def test_lines_are_those_of_the_file() -> None:
    """A path has its own line; one that is not there has the line of what is above it."""
    document = parse_document("a:\n  b:\n    - c: 1\n    - c: 2\n", "p")
    assert [document.line(path) for path in (("a", "b"), ("a", "b", 1, "c"), ("a", "zzz"), ("zzz",))] == [2, 4, 1, 1]


def test_a_mapping_that_merges_itself_is_refused() -> None:
    """It never ends."""
    assert "merges (<<) itself" in _error("a: &a\n  <<: *a\n")


def test_a_plan_knows_the_hash_of_its_file(tmp_path: Path) -> None:
    """As `sha256sum` prints it: of the bytes, with whatever mark and comments they have."""
    file = tmp_path / "plan.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.read_bytes() + b"# more\n")
    assert load_plan(file).sha256 == sha256(file.read_bytes()).hexdigest()
    assert Plan.model_validate(read_document(file).data).sha256 == ""
