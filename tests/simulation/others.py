"""Who else writes the replica: nobody, another writer (`mode: verify`), or readers that fill (`mode: invalidate`).

What they do is no fault of ours. So what their world is held to is not what the replica holds, but what is told of it,
and what we write: these classes remember what source and replica held when, and know whether content was right.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from streams.rows.canonical import Row
from streams.versions.entry import Token
from tests.simulation.events import event
from tests.simulation.sot import Commit, key_bytes, row_of

if TYPE_CHECKING:
    from tests.simulation.world import World

# From a look at content until what it says is on the topic, through slow calls and a worker that freezes in between.
ALARM_SECONDS = 20.0
# Between two looks, beside the lag.
LOOK_SECONDS = 1.5
# Whatever was there.
ANY = b"any"


class Nobody:
    """Under `mode: replicate`. Whatever somebody does to the store is a fault."""

    mode = "replicate"
    lag = 0.0

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self) -> None:
        """Begin to write."""

    def heal(self) -> None:
        """What befell them is over."""

    def look(self) -> None:
        """Something was committed, or written."""

    @property
    def restless(self) -> str | None:
        """What they still have to write."""
        return None

    def differs(self, key: bytes) -> bool:
        """Whether the replica does not hold what the SOT has."""
        return self.world.store.row(key) != self.world.sot.row(int(key))

    def spoiled(self, keys: Iterable[bytes]) -> None:
        """Somebody has changed content, or lost it."""
        self.world.invariants.excuse(keys)

    def may_be_told(self, key: bytes) -> bool:
        """Whether the key may be found to differ at rest."""
        return False

    def has_left(self, key: bytes) -> bool:
        """Whether it is others' doing that the key differs at rest."""
        return False

    def was_wrong(self, key: bytes, since: float, digest: bytes | None = ANY) -> bool:
        """Whether it was others' doing that content, or this one, was there at some moment since then, and wrong."""
        return False


class _Somebody(Nobody):
    """Remembers what source and replica held, and from when on."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._source: dict[bytes, list[tuple[float, Row | None]]] = {}
        self._replica: dict[bytes, list[tuple[float, Row | None]]] = {}

    def look(self) -> None:
        now = self.world.loop.time()
        for key in self.world.all_keys():
            _note(self._source.setdefault(key, []), now, self.world.sot.committed_row(int(key)))
            _note(self._replica.setdefault(key, []), now, self.world.store.row(key))

    def spoiled(self, keys: Iterable[bytes]) -> None:
        """That is what checks are for."""

    def may_be_told(self, key: bytes) -> bool:
        return self.differs(key)

    def was_wrong(self, key: bytes, since: float, digest: bytes | None = ANY) -> bool:
        spans = _spans(self._replica.get(key, []), self.world.loop.time())
        held = ((max(begin, since), end, row) for begin, end, row in spans if end >= since)
        return any(
            self._is_wrong(key, row, begin, end) for begin, end, row in held
            if digest in (ANY, None if row is None else self.world.digest(key, row))
        )  # fmt: skip

    def _is_wrong(self, key: bytes, row: Row | None, begin: float, end: float) -> bool:
        """Whether this was wrong at a moment of that time: it is right while the SOT has it, and the lag longer."""
        for first, last, had in _spans(self._source.get(key, []), end):
            if had == row and first <= begin <= last + self.lag:
                begin = last + self.lag
        return begin < end or (begin == end and not self._was(key, row, begin))

    def _was(self, key: bytes, row: Row | None, at: float) -> bool:
        spans = _spans(self._source.get(key, []), at)
        return any(had == row and first <= at <= last + self.lag for first, last, had in spans)


class OtherWriter(_Somebody):
    """Takes the source's commits to the replica within the lag, in their order; or does not."""

    mode = "verify"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lag = world.settings.lag
        self.loses = self.changes = 0  # of the commits to come
        self.late = False
        self._place = 0
        self._rng = Random(world.history.seed)

    def start(self) -> None:
        self.world.loop.call_later(self.lag * self._rng.choice([0.05, 0.5, 0.9]), self._work)

    def heal(self) -> None:
        self.loses = self.changes = 0
        self.late = False

    @property
    def restless(self) -> str | None:
        return None if self._place >= len(self.world.sot.wal) else "the other writer has not written everything"

    def has_left(self, key: bytes) -> bool:
        return True

    def _work(self) -> None:
        wal = self.world.sot.wal
        self._place = min(self._place, len(wal))
        while self._place < len(wal) and not self.late:
            self._place += 1
            self._bring(wal[self._place - 1])
        self.start()

    def _bring(self, commit: Commit) -> None:
        if not commit.after:
            return
        if self.loses:
            self.loses -= 1
            self.world.say("  the other writer loses %d", commit.txid)
            return
        changed, self.changes = self.changes > 0, max(0, self.changes - 1)
        for key, value in commit.after.items():
            self.write(key_bytes(key), row_of(key, f"{value} changed" if changed else value))

    def write(self, key: bytes, row: Row | None) -> bool:
        """Put it there, whatever is there; False when nothing changes."""
        if self.world.store.row(key) == row:
            return False
        self.world.say("  the other writer: %s is %s", key, row)
        self.world.store.plant(key, row)
        return True


class Readers(_Somebody):
    """Who misses a row reads it in the SOT, and puts it there some time later."""

    mode = "invalidate"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._reading = 0
        # Keys whose content was old when it was put there: nothing but a check finds it.
        self.stale: set[bytes] = set()
        # How often tokens went away or back, by whatever.
        self._forgotten = 0

    @property
    def restless(self) -> str | None:
        return "a reader has not put there what it has read" if self._reading else None

    def differs(self, key: bytes) -> bool:
        return self.world.store.row(key) is not None and super().differs(key)

    def has_left(self, key: bytes) -> bool:
        return key in self.stale

    def look(self) -> None:
        super().look()
        self.stale = {key for key in self.stale if self.world.store.row(key) is not None}

    def spoiled(self, keys: Iterable[bytes]) -> None:
        self._forgotten += 1
        self.stale |= {key for key in keys if self.world.store.row(key) is not None}

    def read(self, key: bytes, seconds: float, *, guarded: bool) -> str:
        """Read a row that is missing, and fill it in after some time; guarded: if no change has come by then."""
        sot, store = self.world.sot, self.world.store
        row, token = sot.row(int(key)), store.token(key)
        if row is None or store.row(key) is not None or sot.unavailable:
            return ""
        self._reading += 1
        # A row whose change is in the log is read as it was before, until others can see that.
        hidden = row != sot.committed_row(int(key))
        with_token = (token, self._forgotten) if guarded and not hidden else None
        self.world.loop.call_later(seconds, self._fill, key, row, guarded, token, with_token)
        return f"{key!r} is read as {row}"

    def _fill(
        self, key: bytes, row: Row, guarded: bool, token: Token | None, sure: tuple[Token | None, int] | None
    ) -> None:
        self._reading -= 1
        if guarded and self.world.store.token(key) != token:
            return
        self.world.say("  a reader: %s is %s", key, row)
        self.world.store.plant(key, row)
        fresh = row == self.world.sot.committed_row(int(key))
        if fresh or sure == (token, self._forgotten):
            self.stale.discard(key)
        else:
            self.stale.add(key)

    def _is_wrong(self, key: bytes, row: Row | None, begin: float, end: float) -> bool:
        """A row that is not there is right."""
        return row is not None and super()._is_wrong(key, row, begin, end)


WHO = {kind.mode: kind for kind in (Nobody, OtherWriter, Readers)}


@event("writer loses", 4, fault=True)
def _loses(world: World, rng: Random) -> str:
    _writer(world).loses += 1
    return "the next commit"


@event("writer changes", 4, fault=True)
def _changes(world: World, rng: Random) -> str:
    _writer(world).changes += 1
    return "the next commit's rows"


@event("writer is late", 4, fault=True)
def _late(world: World, rng: Random) -> str:
    """Often later than it may be."""
    writer = _writer(world)
    seconds = rng.choice([0.5, 1.5, 4.0]) * writer.lag
    writer.late = True
    world.loop.call_later(seconds, setattr, writer, "late", False)
    return f"by {seconds:.2f} s"


@event("writer invents", 4, fault=True)
def _invents(world: World, rng: Random) -> str:
    """A row of its own, one that the source had once, or none."""
    key = rng.choice(world.keys)
    old = [row_of(key, value) for value in world.versions.get(key, [])]
    row = rng.choice([None, (str(key), "invented"), *old[-3:]])
    return f"{key} is {row}" * _writer(world).write(key_bytes(key), row)


@event("fill", 60)
def _fills(world: World, rng: Random) -> str:
    """At once, nearly; as readers do that nothing holds up."""
    return _readers(world).read(key_bytes(rng.choice(world.keys)), rng.choice([0.0, 0.002, 0.01]), guarded=False)


@event("slow fill", 10, fault=True)
def _fills_late(world: World, rng: Random) -> str:
    """Changes come in between."""
    return _readers(world).read(key_bytes(rng.choice(world.keys)), rng.uniform(0.05, 1.0), guarded=False)


@event("guarded fill", 10)
def _fills_guarded(world: World, rng: Random) -> str:
    """Only under the token that was there before the SOT was read."""
    return _readers(world).read(key_bytes(rng.choice(world.keys)), rng.uniform(0.0, 1.0), guarded=True)


@event("expiry", 10)
def _expires(world: World, rng: Random) -> str:
    """A row goes by itself; its token stays."""
    key = key_bytes(rng.choice(world.keys))
    if world.store.row(key) is None:
        return ""
    world.store.evict(key, token_too=False)
    return f"{key!r}"


def _writer(world: World) -> OtherWriter:
    assert isinstance(world.others, OtherWriter)
    return world.others


def _readers(world: World) -> Readers:
    assert isinstance(world.others, Readers)
    return world.others


def _note(known: list[tuple[float, Row | None]], at: float, row: Row | None) -> None:
    if not known or known[-1][1] != row:
        known.append((at, row))


def _spans(known: list[tuple[float, Row | None]], end: float) -> list[tuple[float, float, Row | None]]:
    """What was there from when to when, in order; what is there now: until `end`."""
    ends = [at for at, _ in known[1:]] + [end]
    return [(at, max(at, until), row) for (at, row), until in zip(known, ends, strict=True)]
