"""Redis keys: one per row, read back exactly, value and token in one slot."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from streams.replicas.base import Refused
from streams.replicas.redis_keys import RedisKeys, UnusableKey
from streams.rows.canonical import encode
from tests.unit.replicas.shapes import shape_of
from tests.unit.replicas.values import TEXT

ONE = RedisKeys(shape_of({"aid": "int4", "note": "text"}, ["aid"]), None)
TEXTUAL = RedisKeys(shape_of({"code": "text"}, ["code"]), "account:{code}")
TWO = RedisKeys(shape_of({"a": "text", "b": "text"}, ["a", "b"], "pair"), None)


def test_the_default_key_is_table_and_key_columns() -> None:
    """What readers ask for, and the token beside it."""
    assert ONE.pair(b"1") == ("account:1", "holdtrue:account:{account:1}")
    assert TWO.pair(b"x\ty")[0] == "pair:x:y"


def test_a_template_may_place_columns_as_it_likes() -> None:
    """The order in the name need not be that of the key."""
    keys = RedisKeys(shape_of({"a": "int4", "b": "text"}, ["a", "b"]), "by/{b}/{a}.json")
    assert keys.pair(b"7\tx")[0] == "by/x/7.json"
    assert keys.row_key(b"by/x/7.json") == b"7\tx"


@given(TEXT, TEXT, TEXT, TEXT)
@example("a:b", "c", "a", "b:c")
@example("a%3A", "b", "a:", "b")
def test_two_rows_never_share_a_key(a: str, b: str, c: str, d: str) -> None:
    """Separators inside values are encoded."""
    try:
        names = [TWO.pair(encode(key))[0] for key in ((a, b), (c, d))]
    except UnusableKey:
        return
    assert (names[0] == names[1]) == ((a, b) == (c, d))


@given(st.tuples(TEXT, TEXT))
def test_a_key_is_read_back(key: tuple[str, str]) -> None:
    """SCAN finds names; they give the row's key again."""
    try:
        name, _ = TWO.pair(encode(key))
    except UnusableKey:
        return
    assert TWO.row_key(name.encode()) == encode(key)


@given(TEXT | st.text("{}a:", max_size=8))
@example("{")
@example("{a}b}")
@example("{}a{b}")
@example("}{a}")
def test_value_and_token_share_a_slot_or_the_key_is_unusable(text: str) -> None:
    """Braces in a value choose the slot of its key; the token follows or the row is refused."""
    try:
        value, token = TEXTUAL.pair(encode((text,)))
    except UnusableKey:
        assert "}" in text
        return
    assert key_slot(value.encode()) == key_slot(token.encode())
    assert token.startswith("holdtrue:account:")


@given(st.lists(TEXT | st.text("{}a:", max_size=6), min_size=2, max_size=2, unique=True))
def test_two_rows_never_share_a_token_key(texts: list[str]) -> None:
    """Also where braces make the token's key take another form."""
    try:
        pairs = [TEXTUAL.pair(encode((text,))) for text in texts]
    except UnusableKey:
        return
    assert len({name for pair in pairs for name in pair}) == 4


@pytest.mark.parametrize(
    "name",
    [
        b"account:total",
        b"account:007",
        b"account:1.5",
        b"account:99999999999",
        b"account:",
        b"account:1:2",
        b"account:\xff",
        b"accounts:1",
        b"holdtrue:account:{account:1}",
    ],
)
def test_keys_no_row_can_have_belong_to_somebody_else(name: bytes) -> None:
    """They are neither rows nor orphans: a repair must never remove them."""
    assert ONE.row_key(name) is None


def test_the_prefix_of_tokens_is_kept_free() -> None:
    """A row whose name would look like a token's is refused."""
    keys = RedisKeys(shape_of({"code": "text"}, ["code"]), "hold{code}")
    with pytest.raises(UnusableKey):
        keys.pair(b"true:x")


@pytest.mark.parametrize(
    "template",
    ["account", "{aid}", "{aid}:{aid}", "account:{other}", "account:{aid}:{note}", "x{{{aid}", "x}{aid}"],
)
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    """With the template in the message and what to do."""
    with pytest.raises(Refused) as caught:
        RedisKeys(shape_of({"aid": "int4", "note": "text"}, ["aid"]), template)
    assert caught.value.hint


def test_two_columns_need_a_separator() -> None:
    """1 and 23 must not meet 12 and 3."""
    with pytest.raises(Refused):
        RedisKeys(shape_of({"a": "int4", "b": "int4"}, ["a", "b"]), "t:{a}{b}")


def test_the_glob_matches_literally() -> None:
    """Stars and brackets of a template are no wildcards."""
    keys = RedisKeys(shape_of({"aid": "int4"}, ["aid"]), "a*[b]:{aid}")
    assert keys.glob == "a\\*\\[b\\]:*"


@given(TEXT)
@example("a{b}c")
@example("{x}:y")
def test_a_token_is_known_by_its_row_and_template(code: str) -> None:
    """Another replica of the same table, under other keys, has tokens of its own beside them."""
    other = RedisKeys(shape_of({"code": "text"}, ["code"]), "customer:{code}")
    try:
        mine, theirs = (keys.pair(encode((code,)))[1].encode() for keys in (TEXTUAL, other))
    except UnusableKey:
        return
    assert TEXTUAL.is_token(mine)
    assert not TEXTUAL.is_token(theirs)
    assert not TEXTUAL.is_token(b"holdtrue:account:{account")
