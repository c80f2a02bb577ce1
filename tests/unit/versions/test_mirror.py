"""What a follower knows of a replica's content: sums as the version table's, and keys by bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.checks.mark import OwnersMark, unequal
from streams.rows.digest import BUCKETS, DIGEST_BYTES, bucket_of
from streams.versions import mirror
from streams.versions.mirror import Mirror
from tests.simulation.disk import Machine

_digests = st.none() | st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
_puts = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([b"1", b"2", b"3", b"12"]), _digests), max_size=30)


@given(puts=_puts)
def test_sums_and_buckets_are_those_of_the_last_digests(puts: list[tuple[int, bytes, bytes | None]]) -> None:
    """Whatever came before them under the same keys."""
    made = Mirror(Path("/nowhere/mirror"), 2, open_disk=Machine().open)
    last: dict[tuple[int, bytes], bytes] = {}
    for partition, key, digest in puts:
        made.put(partition, key, digest)
        last.pop((partition, key), None)
        if digest is not None:
            last[partition, key] = digest
    for partition in (0, 1):
        sums = [0] * BUCKETS
        for (place, key), digest in last.items():
            if place == partition:
                sums[bucket_of(key)] = (sums[bucket_of(key)] + int.from_bytes(digest, "big")) % (1 << 128)
        assert list(made.sums(partition)) == sums
        for key in (b"1", b"2", b"3", b"12"):
            assert dict(made.bucket(partition, bucket_of(key))).get(key) == last.get((partition, key))


def test_what_is_staged_is_written_when_it_is_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real disk; and nothing of an earlier follower is there."""
    monkeypatch.setattr(mirror, "STAGED_MAX", 2)
    for _ in range(2):
        made = Mirror(tmp_path / "m", 1)
        assert sum(made.sums(0)) == 0
        for key in (b"1", b"2", b"3"):
            made.put(0, key, key * DIGEST_BYTES)
        assert dict(made.bucket(0, bucket_of(b"2"))) == {b"2": b"2" * DIGEST_BYTES}
        made.put(0, b"2", None)
        assert dict(made.bucket(0, bucket_of(b"2"))) == {}
        made.close()
    assert not (tmp_path / "m").exists()


def test_a_mark_is_read_as_it_was_made() -> None:
    """Table, partition, mapping, and 1,024 sums."""
    made = OwnersMark(1.5, 3, "public.tést", "m.1", [(1 << 128) - 1, *range(1, BUCKETS)])
    assert OwnersMark.decode(made.encode()) == made


@pytest.mark.parametrize("content", [b"", b"no mark", OwnersMark(0.0, 0, "t", "m", [0] * BUCKETS).encode()[:-1]])
def test_what_is_no_mark_is_refused(content: bytes) -> None:
    """Anybody may write into a log."""
    with pytest.raises(ValueError, match=r"mark|buckets"):
        OwnersMark.decode(content)


def test_buckets_that_differ_are_named() -> None:
    """By their numbers."""
    assert unequal([1, 2, 3], [1, 5, 4]) == [1, 2]
    assert unequal([1], [1]) == []
