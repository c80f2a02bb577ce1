"""The way through the shards of a stream: each is read once, after its parent, and nothing is left out unseen."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from streams.replicas.dynamodb_shards import Walk
from streams.replicas.dynamodb_slot import Place, places, text


class Stream:
    """Shards that end and have children, and are forgotten from the oldest on."""

    def __init__(self, roots: int) -> None:
        self._numbers = count()
        self.parents: dict[str, str | None] = {}
        self.open: list[str] = []
        self.all: dict[str, str | None] = {}
        self.forgotten: set[str] = set()
        for _ in range(roots):
            self._make(None)

    def _make(self, parent: str | None) -> None:
        shard = f"shard-{next(self._numbers):04}"
        self.parents[shard] = self.all[shard] = parent
        self.open.append(shard)

    def end(self, which: int, children: int) -> None:
        """One of the open shards is followed by one child, or by two."""
        parent = self.open.pop(which % len(self.open))
        for _ in range(children):
            self._make(parent)

    def forget(self) -> None:
        """The oldest is gone, if it is not written any more."""
        oldest = min(self.parents)
        if oldest not in self.open:
            del self.parents[oldest]
            self.forgotten.add(oldest)


# A shard ends in one child or two, the oldest is forgotten, one is read, the shards are listed, a restart.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["split", "roll", "forget", "read", "read", "list", "list", "restart"]), st.integers(0, 9)
    ),
    max_size=80,
)


@given(st.integers(1, 3), STEPS)
def test_every_shard_is_read_once_after_its_parent_or_a_gap_is_told(roots: int, steps: list[tuple[str, int]]) -> None:
    """Whatever ends, is forgotten and restarted in between: what was gone before it was read is missed, and told."""
    stream, walk, done = Stream(roots), Walk(), set[str]()
    assert walk.learn(stream.parents)
    for what, which in (*steps, *_until_everything_is_read()):
        match what:
            case "split" | "roll":
                stream.end(which, 2 if what == "split" else 1)
            case "forget":
                stream.forget()
            case "read":
                _read(stream, walk, done, which)
            case "restart":
                walk = places(text({"t": Place("arn", walk)}))["t"].walk
            case _:
                missed = stream.forgotten - done
                whole = walk.learn(stream.parents)
                assert whole or missed, "a gap is told only where there is one"
                if missed:
                    assert not whole, f"{missed} were never read"
                    return
    assert stream.all.keys() - set(stream.open) <= done
    assert set(walk.at) == set(stream.open)


def _until_everything_is_read() -> list[tuple[str, int]]:
    return [("list", 0), *[step for _ in range(200) for step in (("read", 0), ("list", 0))]]


def _read(stream: Stream, walk: Walk, done: set[str], which: int) -> None:
    """To its end where it has ended; else some of it."""
    ended = sorted(shard for shard in walk.at if shard in stream.parents and shard not in stream.open)
    if not ended:
        for shard in walk.at:
            walk.read(shard, "17")
        return
    shard = ended[which % len(ended)]
    parent = stream.all[shard]
    assert shard not in done
    assert parent is None or parent in done
    walk.end(shard)
    done.add(shard)


def test_a_stream_begins_with_everything_that_it_still_has() -> None:
    """From the oldest shards on, whose parents may be forgotten."""
    walk = Walk()
    assert not walk.is_begun
    assert walk.learn({"b": "a", "c": "b", "d": "b", "x": None})
    assert walk.at == {"b": "", "x": ""}
    walk.end("b")
    assert walk.learn({"b": "a", "c": "b", "d": "b", "x": None})
    assert walk.at == {"x": "", "c": "", "d": ""}
    assert not walk.ended


def test_a_shard_from_nowhere_is_a_gap() -> None:
    """What came between was never seen."""
    walk = Walk({"a": "7"})
    assert not walk.learn({"a": None, "q": "p"})
    assert not Walk({"a": "7"}).learn({"q": "p"})
    assert not Walk({}, ["a"]).learn({"q": "p"})
    assert Walk({}, ["a"]).learn({"q": "a"})


def test_what_cannot_be_read_of_the_stored_places_counts_as_never_read() -> None:
    """So that every key is visited, rather than one change passed over."""
    for stored in ("", "{", "[]", '{"t": 1}', "null", '{"t": ["arn", 5, []]}'):
        assert places(stored) == {}
    kept = places(text({"t": Place("arn", Walk({"s": "1"}, ["e"]))}))["t"]
    assert (kept.stream, kept.walk.at, kept.walk.ended) == ("arn", {"s": "1"}, {"e"})
