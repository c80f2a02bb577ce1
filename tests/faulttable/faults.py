"""The faults, each a small function: what somebody does to a store, or what happens to the stream.

The order is that of the table. Each fault has keys of its own, which nothing else touches, so it may be tried alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tests.faulttable import stream
from tests.faulttable.hands import Copy, Hands, PostgresHands, RedisHands, Row
from tests.faulttable.layers import Effect, Layer, Store, of_store, of_stream
from tests.faulttable.scene import Scene


def stranger(key: int) -> int:
    """A key that the source does not have; what is in a filter with the one is in it with the other."""
    return -key


class Victim(NamedTuple):
    """A key of one replica. before: its row and token as they were once. other: another key's row."""

    key: int
    before: Copy
    other: Row

    @property
    def stranger(self) -> int:
        """A key for it that the source does not have."""
        return stranger(self.key)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, and what it leaves.

    at_store: done to a key of one store. at_stream: done to the same keys of all replicas at once. fresh: whether a key
    that was just written can have it. dead: its keys are deleted in the source. stranger: they were never there.
    past_guard: what is at_stream is done to the stores all the same. differs: what is expected otherwise than the
    effect says.
    """

    name: str
    what: str
    effect: Effect
    at_store: Callable[[Hands, Victim], None] | None = None
    at_stream: Callable[[Scene, Sequence[int]], None] | None = None
    stores: tuple[Store, ...] = tuple(Store)
    fresh: bool = True
    dead: bool = False
    stranger: bool = False
    past_guard: bool = False
    differs: Mapping[Layer, bool] | None = None

    @property
    def round(self) -> str:
        """With which others it is looked at: with those that come the same way and do not hide each other's number."""
        if self.past_guard or self.differs:
            return self.name
        return f"{'stream' if self.is_of_stream else 'store'}: {_TOGETHER[self.effect]}"

    @property
    def is_of_stream(self) -> bool:
        """Whether it comes to the replicas through their workers."""
        return self.at_stream is not None and not self.past_guard

    def expected(self, store: Store) -> dict[Layer, bool]:
        """Which layers look at such keys in this store, and whether they must see it."""
        effect = self.effect
        usual = of_stream(effect, store) if self.is_of_stream else of_store(effect, store, fresh=self.fresh)
        return {**usual, **{layer: sees for layer, sees in (self.differs or {}).items() if layer in usual}}


def _edit(hands: Hands, victim: Victim, **columns: str | None) -> None:
    hands.write(victim.key, {**_row(hands, victim), **columns})


def _row(hands: Hands, victim: Victim) -> Row:
    row = hands.copy(victim.key).row
    assert row is not None, f"key {victim.key} has no row to be made wrong"
    return row


def _text(row: Row, column: str) -> str:
    value = row[column]
    assert value is not None
    return value


def rogue_update(hands: Hands, victim: Victim) -> None:
    """Another value."""
    _edit(hands, victim, status="rogue")


def foreign_update(hands: Hands, victim: Victim) -> None:
    """In one transaction with a version row that is not ours, in place of the one that was there."""
    token = hands.copy(victim.key).token
    with hands.together():
        rogue_update(hands, victim)
        hands.set_token(victim.key, hands.foreign(token))


def token_raised(hands: Hands, victim: Victim) -> None:
    """As our own writes do it."""
    assert isinstance(hands, PostgresHands)
    with hands.together():
        rogue_update(hands, victim)
        hands.raise_token(victim.key)


def rogue_insert(hands: Hands, victim: Victim) -> None:
    """A row that the source never had."""
    hands.write(victim.stranger, {**victim.other, "id": str(victim.stranger)})


def rogue_delete(hands: Hands, victim: Victim) -> None:
    """The row goes, what else there is of it stays where the store keeps it elsewhere."""
    hands.write(victim.key, None)


def removed(hands: Hands, victim: Victim) -> None:
    """The row goes, and its token."""
    hands.write(victim.key, None)
    hands.set_token(victim.key, None)


def expired(hands: Hands, victim: Victim) -> None:
    """A time to live that somebody gave the row is over."""
    assert isinstance(hands, RedisHands)
    hands.expire(victim.key)


def evicted(hands: Hands, victim: Victim) -> None:
    """The server has no memory left."""
    assert isinstance(hands, RedisHands)
    hands.evict(victim.key)


def rolled_back(hands: Hands, victim: Victim) -> None:
    """Row and token as in the copy."""
    with hands.together():
        hands.write(victim.key, victim.before.row)
        hands.set_token(victim.key, victim.before.token)


def older_row(hands: Hands, victim: Victim) -> None:
    """The older row under the token of now."""
    hands.write(victim.key, victim.before.row)


def truncated(hands: Hands, victim: Victim) -> None:
    """As by a column that was too narrow."""
    _edit(hands, victim, product=_text(_row(hands, victim), "product")[:16])


def precision_lost(hands: Hands, victim: Victim) -> None:
    """As by a float or an integer on the way."""
    total = float(_text(_row(hands, victim), "total"))
    _edit(hands, victim, total=f"{round(total) + (total == round(total))}.00")


def moment_shifted(hands: Hands, victim: Victim) -> None:
    """As by a writer in another time zone."""
    moment = datetime.fromisoformat(_text(_row(hands, victim), "changed_at").replace(" ", "T"))
    _edit(hands, victim, changed_at=str(moment + timedelta(hours=1)).replace("+00:00", "+00"))


def null_became_empty(hands: Hands, victim: Victim) -> None:
    """A text is gone, and an empty one is there."""
    _edit(hands, victim, note="")


def wrong_mapping(hands: Hands, victim: Victim) -> None:
    """Two columns have each other's value."""
    row = _row(hands, victim)
    _edit(hands, victim, product=row["status"], status=_text(row, "product")[:16])


def swapped(hands: Hands, victim: Victim) -> None:
    """Another key's row."""
    _edit(hands, victim, **{name: value for name, value in victim.other.items() if name != "id"})


def missed_delete(hands: Hands, victim: Victim) -> None:
    """The row is there again, beside what says that it is dead."""
    hands.write(victim.key, victim.before.row)


def came_back(hands: Hands, victim: Victim) -> None:
    """Row and token as in the copy, from before the delete."""
    rolled_back(hands, victim)


_ONLY_REDIS: Final = (Store.redis,)
# Counts tell how many rows there are too few by one number, and so how many too many.
_TOGETHER: Final[Mapping[Effect, str]] = {
    Effect.harmless: "nothing wrong",
    Effect.wrong: "wrong or missing",
    Effect.missing: "wrong or missing",
    Effect.orphan: "too many",
}

FAULTS: Final = (
    Fault("rogue update", "another value in a column, under our token", Effect.wrong, rogue_update),
    Fault("rogue update, foreign token", "another value, and another token in place of ours, larger than it",
          Effect.wrong, foreign_update),
    Fault("rogue insert", "a row that the source never had", Effect.orphan, rogue_insert, fresh=False, stranger=True),
    Fault("rogue delete", "the row is deleted", Effect.missing, rogue_delete),
    Fault("row and token removed", "the row is deleted, and its token", Effect.missing, removed),
    Fault("expired", "a time to live that somebody gave the row is over", Effect.missing, expired, stores=_ONLY_REDIS),
    Fault("evicted", "the server, short of memory, evicts the row", Effect.missing, evicted, stores=_ONLY_REDIS),
    Fault("rolled-back failover", "row and token as they were before the last change", Effect.wrong, rolled_back),
    Fault("rolled back to before a delete", "row and token of before the delete are there again", Effect.orphan,
          came_back, dead=True),
    Fault("older row, newer token", "the row of before the last change, under the token of now", Effect.wrong,
          older_row),
    Fault("missed delete", "the row is there, the token says that it is deleted", Effect.orphan, missed_delete,
          dead=True),
    Fault("truncated value", "a text is cut to 16 characters", Effect.wrong, truncated),
    Fault("precision lost", "a numeric is rounded to a whole number", Effect.wrong, precision_lost),
    Fault("moment shifted", "a timestamp is an hour late", Effect.wrong, moment_shifted),
    Fault("text emptied", "an empty text in place of one, or of NULL", Effect.wrong, null_became_empty),
    Fault("wrong mapping", "two columns have each other's value", Effect.wrong, wrong_mapping),
    Fault("another key's row", "the content of another key's row", Effect.wrong, swapped),
    Fault("token raised", "another value, and its token raised in the same transaction as our writes do", Effect.wrong,
          token_raised, stores=(Store.postgres,)),
    Fault("duplicated changes", "the last record of each key is sent once more", Effect.harmless,
          at_stream=stream.duplicated),
    Fault("reordered changes", "two records of each key are sent again, the newer one first", Effect.harmless,
          at_stream=stream.reordered),
    Fault("late replay", "all records of each key are sent again, from its first", Effect.harmless,
          at_stream=stream.late_replay),
    Fault("stale repair", "a repair that was planned before a change of the row is applied after it", Effect.harmless,
          at_stream=stream.stale_repair),
    Fault("partial batch", "a worker is killed (SIGKILL) between store and state, and started again", Effect.harmless,
          at_stream=stream.partial_batch),
    Fault("offsets set back", "the committed offsets of a worker's group are set to the beginning", Effect.harmless,
          at_stream=stream.offsets_set_back),
    Fault("offsets set ahead", "the committed offsets of a worker's group are set beyond changes it has not read",
          Effect.harmless, at_stream=stream.offsets_set_ahead),
    Fault("checker crash in mid-run", "a rogue update, and the run that looks for it is killed (SIGKILL)",
          Effect.wrong, at_stream=stream.checker_crash, fresh=False, past_guard=True),
    Fault("lost update", "an update that the publication did not have", Effect.wrong, at_stream=stream.lost_update),
    Fault("lost insert", "an insert that the publication did not have", Effect.missing, at_stream=stream.lost_insert,
          stranger=True),
    Fault("lost delete", "a delete that the publication did not have", Effect.orphan, at_stream=stream.lost_delete),
    Fault("slot gap", "the slot is moved beyond deletes that were not sent; then the connector is begun anew",
          Effect.orphan, at_stream=stream.slot_gap, differs={Layer.stream: True}),
    Fault("forged change", "a record that the connector has not made, with another row", Effect.wrong,
          at_stream=stream.forged),
)  # fmt: skip


def named(names: Sequence[str]) -> list[Fault]:
    """Those of these names, or all. Raises KeyError."""
    by_name = {fault.name: fault for fault in FAULTS}
    return [by_name[name] for name in names] if names else list(FAULTS)
