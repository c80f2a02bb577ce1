"""Digests of rows and of buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.rows.digest import BUCKETS, DIGEST_BYTES, Digester, bucket_of, shift

DIGEST = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
ZERO = bytes(DIGEST_BYTES)


def test_a_digest_depends_on_key_row_mapping_and_secret() -> None:
    """Each of them alone changes it; the boundary of key and row counts too."""
    digests = [
        Digester("v1").digest(b"1", b"a"),
        Digester("v1").digest(b"2", b"a"),
        Digester("v1").digest(b"1", b"b"),
        Digester("v2").digest(b"1", b"a"),
        Digester("v1", b"secret").digest(b"1", b"a"),
        Digester("v1").digest(b"1a", b""),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(digest) for digest in digests} == {DIGEST_BYTES}
    assert Digester("v1").digest(b"1", b"a") == digests[0]


@given(st.binary(max_size=40))
def test_a_key_stays_in_its_bucket(key: bytes) -> None:
    """The same on every call, within bounds."""
    assert 0 <= bucket_of(key) < BUCKETS
    assert bucket_of(key) == bucket_of(bytes(key))


@given(st.lists(DIGEST, max_size=8), st.randoms())
def test_a_bucket_digest_does_not_depend_on_the_order(digests: list[bytes], chance: object) -> None:
    """Rows added in any order, and taken away again, leave what was there."""
    shuffled = list(digests)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    forward = backward = ZERO
    for one, two in zip(digests, shuffled, strict=True):
        forward, backward = shift(forward, None, one), shift(backward, None, two)
    assert forward == backward
    for digest in shuffled:
        forward = shift(forward, digest, None)
    assert forward == ZERO


@given(DIGEST, DIGEST, DIGEST)
def test_replacing_is_removing_and_adding(total: bytes, old: bytes, new: bytes) -> None:
    """One step or two."""
    assert shift(total, old, new) == shift(shift(total, old, None), None, new)


def test_a_version_says_which_digests_can_be_compared() -> None:
    """Those of one mapping and one key; without a key it is the mapping's."""
    made = [Digester("m"), Digester("m", b"a"), Digester("m", b"b"), Digester("n", b"a"), Digester("m", b"a")]
    versions = [digester.version for digester in made]
    assert versions[0] == "m"
    assert len(set(versions)) == 4
    assert versions[1] == versions[4]
