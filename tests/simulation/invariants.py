"""What must hold at every moment of a history, and what must hold when it has come to rest.

A key is *excused* while something has befallen it that only a validation and a repair can mend: a rogue write, an
eviction, a store rolled back, a change that no record will ever bring. Everything else must come right by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.replicas.base import Held, Write
from streams.rows.digest import bucket_of
from streams.validation.report import Report
from streams.versions.entry import NO_TOKEN, Entry, Token
from streams.versions.state import ChangelogRecord, PartitionState
from tests.simulation.disk import Machine
from tests.simulation.others import ALARM_SECONDS, LOOK_SECONDS
from tests.simulation.sot import key_bytes

if TYPE_CHECKING:
    from streams.agents.owner import Owner
    from tests.simulation.world import World


# An alarm may be under way for so long, from the look to the topic.
FORGIVEN_SECONDS = 5.0


class Violation(AssertionError):
    """Something that must never be. `promise` is the sentence without its particulars."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(text)
        self.promise = promise


class Invariants:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.excused: set[bytes] = set()
        self._ever_excused: set[bytes] = set()
        # Tokens that the store has lost or refused, of keys that are right all the same.
        self._unguarded: dict[bytes, Token] = {}
        # Owners that wait, and where.
        self._waiting: dict[int, tuple[Owner, int, int]] = {}
        # Whether the store has lost everything, and nothing is put back.
        self.flooded = False
        # Keys that continuous checking has told of since this was cleared.
        self.found: set[bytes] = set()
        # Keys that were excused, and when they no longer were.
        self._forgiven: dict[bytes, float] = {}
        self._recovered = [_Recovered() for _ in range(world.settings.partitions)]

    def excuse(self, keys: Iterable[int | bytes]) -> None:
        """Until the next repair these keys may differ."""
        befallen = {key if isinstance(key, bytes) else key_bytes(key) for key in keys}
        self.excused |= befallen
        self._ever_excused |= befallen

    # At every moment.

    def written(self, key: bytes, before: Held | None, after: Held | None, write: Write, overruled: bool) -> None:
        """A replica's token never goes back, and a token's content never changes; but for what a repair overrules."""
        old, new = before.token if before else None, after.token if after else None
        self._world.say(
            "  store: %s is %s under %s (tried %s)", key, after and after.row, new and tuple(new), write.token.record
        )
        say = self._world.violated
        if old is not None and not overruled and (new is None or new < old):
            say("the token of %s went back from %s to %s", key, old, new)
        if old is not None and new == old and before and after and before.row != after.row:
            say("%s changed from %s to %s under the token %s", key, before.row, after.row, old)
        if self._world.others.mode == "verify":
            if not write.token.refresh or key not in self._world.auditor.ordered:
                say("%s is written, and nobody has ordered its repair", key)
        elif new != old and write.token.refresh and key not in self.excused:
            self._not_older(key, before, after)
        if self._world.others.mode == "invalidate" and write.row is not None:
            say("%s is written into a cache", key)

    def wait(self, owners: Mapping[int, Owner]) -> None:
        """An owner that is to wait applies nothing."""
        before, self._waiting = self._waiting, {
            number: (owner, owner.state.hold.ordered, owner.state.input_offset)
            for number, owner in owners.items() if owner.state.hold.pending
        }  # fmt: skip
        for number, (owner, ordered, offset) in self._waiting.items():
            known = before.get(number)
            if known is not None and known[:2] == (owner, ordered) and offset > known[2]:
                self._world.violated("partition %d waits at %d, and went on to %d", number, known[2], offset)

    def _not_older(self, key: bytes, before: Held | None, after: Held | None) -> None:
        """What is written after a read of the SOT is never older than what it replaces."""
        written = self._world.versions.get(int(key), [])
        old, new = (held.row[1] if held and held.row else None for held in (before, after))
        if old in written and new in written and written.index(new) < written.index(old):
            self._world.violated("a repair of %s wrote %s over the newer %s", key, new, old)

    def committed(self, partition: int, next_offset: int, epoch: int) -> None:
        """Every committed offset is in the changelog and in the store."""
        changelog = self._world.changelogs[partition]
        state = self._recovered[partition].from_all(changelog.acknowledged, changelog.losses)
        if state.epoch > epoch:
            return  # who comes next reads all of the topic again
        if next_offset - 1 > (at := state.input_offset):
            self._world.violated("offset %d of %d is committed, the changelog is at %d", next_offset, partition, at)
        for key, entry in state.scan() if self._world.others.mode == "replicate" else ():
            if key in self.excused or entry.token <= self._unguarded.get(key, NO_TOKEN):
                continue
            stored = self._world.store.token(key)
            if stored is None or stored < entry.token:
                self._world.violated("%s: %s is committed, the store has %s", key, entry.token, stored)

    def recorded(self, partition: int) -> int:
        """Up to where the topic of now has been applied, as the changelog tells it."""
        records = [record[1:] for record in self._world.changelogs[partition].since(0)]
        state = _Recovered().from_all(records)
        return state.input_offset + 1 if state.is_of(str(self._world.topic.life)) else 0

    def told(self, record: Mapping[str, Any]) -> None:
        """Continuous checking tells of no key that nothing has befallen."""
        key = record.get("key_bytes")
        if record["state"] == "open" and record["kind"] != "continuity" and key is not None:
            self.found.add(key)
            self._world.count("drift told")
            forgiven = self._forgiven.get(key, -FORGIVEN_SECONDS) + FORGIVEN_SECONDS > self._world.loop.time()
            excused = key in self.excused or forgiven or self._is_read_again(key, record)
            if not excused and not self._is_others(key, record):
                self._world.violated("%s is told to be %s, and nothing had befallen it", key, record["kind"])
            if record["kind"] == "missing" and self._world.others.mode == "invalidate":
                self._world.violated("%s is told to be missing in a cache", key)
        if self.flooded:
            self._not_twice()

    def _is_read_again(self, key: bytes, record: Mapping[str, Any]) -> bool:
        """Whether a record that could not be applied is read once more: that is told again, and ended by a look."""
        return record["kind"] == "unapplied" and key in self._ever_excused

    def _is_others(self, key: bytes, record: Mapping[str, Any]) -> bool:
        """Whether others have made wrong what is told to be; a later step of what was told has no digests."""
        others = self._world.others
        if others.mode == "replicate" or "replica_digest" not in record:
            return others.mode != "replicate"
        told, now = record["replica_digest"], self._world.loop.time()
        if told == record["entry_digest"]:
            return False  # it is what the SOT has
        # What is there at the second look may be right, and ahead of the stream: it is told of what the first has seen.
        looks = 2 * (others.lag + LOOK_SECONDS)
        return others.was_wrong(key, now - ALARM_SECONDS, told) or others.was_wrong(key, now - looks)

    def _not_twice(self) -> None:
        """No more keys are told, by name and by number, than are wrong."""
        world = self._world
        wrong = {key for key in world.all_keys() if world.store.row(key) != world.sot.row(int(key))}
        counted = sum(record["keys"] for record in world.drift.open if record["causes"])
        if counted + len(wrong & world.drift.named) > len(wrong):
            world.violated("%d keys are told beside %s, of %s", counted, world.drift.named, wrong)

    # At rest.

    def scrubbed(self, owners: Mapping[int, Owner]) -> None:
        """What the replica holds is what its owners know, or was told."""
        world = self._world
        for owner in owners.values():
            if owner.state.is_blank:
                continue  # nothing is known, so that nothing is checked
            told = self.found | self._counted(owner)
            for key, entry in owner.state.scan():
                row = world.store.row(key)
                right = world.sot.row(int(key))
                wanted = None if right is None else world.digest(key, right)
                if world.others.differs(key) and entry.digest == wanted and key not in told:
                    world.violated("%s is %s, and continuous checking has not told of it", key, row)
            if world.history.floods:
                self._numbers(owner)

    def _counted(self, owner: Owner) -> set[bytes]:
        """The keys that an owner only counts."""
        assert owner.scrub is not None
        findings = owner.scrub._findings
        return {key for key in self._world.all_keys() if key in findings and key not in findings._known}

    def _numbers(self, owner: Owner) -> None:
        """Each key that is wrong is named or counted, none both, and what is told is how many."""
        world, names, told = self._world, owner.work.names, self._world.drift
        counted = self._counted(owner)
        number = told.told.counted(names, owner.tp.partition).total()
        if counted:
            world.count("keys only counted")
        if number != len(counted):
            world.violated("%d keys of %d are told to be counted, and are %s", number, owner.tp.partition, counted)
        if both := counted & told.named:
            world.violated("%s are counted beside their own records", both)

    def at_rest(self, owners: dict[int, Owner]) -> None:
        """Replica = SOT, digests are right, and what would be recovered is what the owners have."""
        world = self._world
        for name in world.all_keys():
            if name not in self.excused and world.others.differs(name) and not world.others.has_left(name):
                row = world.store.row(name)
                world.violated("at rest %s is %s, the SOT has %s", name, row, world.sot.row(int(name)))
        for partition, owner in owners.items():
            self._digests(owner.state)
            self._entries(partition, owner.state)

    def made_right(self) -> None:
        """A run has found every key right: there is no excuse any more."""
        self._forgiven.update(dict.fromkeys(self.excused, self._world.loop.time()))
        self.excused.clear()
        for partition, changelog in enumerate(self._world.changelogs):
            state = self._recovered[partition].from_all(changelog.acknowledged, changelog.losses)
            for key, entry in state.scan():
                if (self._world.store.token(key) or NO_TOKEN) < entry.token:
                    self._unguarded[key] = entry.token

    def _digests(self, state: PartitionState) -> None:
        buckets: dict[int, int] = {}
        live = 0
        for key, entry in state.scan():
            buckets[bucket_of(key)] = buckets.get(bucket_of(key), 0) + int.from_bytes(entry.digest or b"", "big")
            live += entry.digest is not None
        for bucket in {bucket_of(key_bytes(key)) for key in self._world.keys}:
            if state.bucket_digest(bucket) != buckets.get(bucket, 0) % (1 << 128):
                self._world.violated("the digest of bucket %d is not the sum of its keys'", bucket)
        if state.live != live:
            self._world.violated("%d rows are counted as live, %d are", state.live, live)

    def _entries(self, partition: int, state: PartitionState) -> None:
        world = self._world
        records = [record[1:] for record in world.changelogs[partition].since(0)]
        recovered = dict(_Recovered().from_all(records).scan())
        mine = dict(state.scan())
        for key in mine.keys() | recovered.keys():
            if key in self.excused:
                continue
            # A repair that was given up after the changelog had its tombstone: what is unknown is held for gone, too.
            a, b = mine.get(key, state.unknown), recovered.get(key, state.unknown)
            if a is None and b is not None and b.digest is None and b.token.refresh:
                continue
            # A zombie may have read the SOT once more: a larger token over the same content.
            if a is None or b is None or a.digest != b.digest:
                world.violated("the owner knows %s of %s, the changelog %s", _brief(a), key, _brief(b))
            if world.others.mode != "replicate":
                row = world.sot.row(int(key))
                content = None if row is None else world.digest(key, row)
                if (a.digest if a else None) != content:
                    world.violated("the entry of %s (%s) is not of its row in the SOT, %s", key, _brief(a), row)
                continue
            row = world.store.row(key)
            content = None if row is None else world.digest(key, row)
            if a is not None and a.digest != content:
                world.violated("the entry of %s (%s) is not of its row in the store, %s", key, _brief(a), row)

    # Runs.

    def looked(self, report: Report, before: Looked) -> None:
        """No drift is reported that is not there; drift that was there all the time is found."""
        world, after = self._world, Looked(world=self._world)
        # Two faults that cancel out: the replica is right, and not what its owner left there. It may be told.
        # Of a cache: what the version table lacks is told, although it is right that the row is absent.
        cached = world.others.mode == "invalidate"
        told = {d.key for d in report.drift if d.key in self.excused and (cached or d.entry_digest != d.other_digest)}
        found = {drifted.key for drifted in report.drift}
        for each in report.drift if world.others.mode != "replicate" else ():
            if each.key not in self.excused and not world.others.was_wrong(each.key, before.at):
                world.violated("drift of %s is reported, and it was right all the time", each.key)
        for key in world.all_keys():
            if before.moves(key) != after.moves(key):
                continue  # something was written while the run looked: both answers can be right
            differs = world.others.differs(key)
            # What is committed and not visible yet is right as well (seed 29655).
            ahead = world.store.row(key) == world.sot.committed_row(int(key))
            # Of a key whose change was lost, the owner can not know that another one is on its way.
            comes = key not in self.excused and ahead
            if key in found - told and (not differs or comes):
                world.violated("drift of %s is reported, but it is %s on both sides", key, world.store.row(key))
            decided = not (report.reason or report.superseded or report.skipped or report.failed)
            if differs and not ahead and key not in found and decided:
                world.violated(
                    "%s is %s, the SOT has %s: the run says %s, and nothing of it",
                    key, world.store.row(key), world.sot.row(int(key)), report.outcome,
                )  # fmt: skip


class Looked:
    """What had been written on both sides when a run began or ended."""

    def __init__(self, world: World) -> None:
        self.at = world.loop.time()
        self._sot = dict(world.sot.changed)
        self._store = dict(world.store.changed)
        self._unseen = {key for each in world.sot.open if each.committed for key in each.rows}

    def moves(self, key: bytes) -> tuple[int, int, bool]:
        """How often the key has changed in the SOT, and in the store; whether a commit of it is not visible yet."""
        return self._sot.get(int(key), 0), self._store.get(key, 0), int(key) in self._unseen


class _Recovered:
    """What a worker that has nothing would recover from a changelog; goes on where it was when that has grown."""

    def __init__(self) -> None:
        self._state = PartitionState(Path("recovered"), 0, Machine().open)
        self._taken = self._losses = 0

    def from_all(self, records: Sequence[ChangelogRecord], losses: int = 0) -> PartitionState:
        if losses > self._losses:  # the changelog has lost its end: from the beginning
            self._state = PartitionState(Path("recovered"), 0, Machine().open)
            self._taken, self._losses = 0, losses
        if len(records) > self._taken:
            self._state.recover(records[self._taken :], len(records) - 1)
            self._taken = len(records)
        return self._state


def _brief(entry: Entry | None) -> str:
    return "nothing" if entry is None else f"{tuple(entry.token)} {'dead' if entry.digest is None else 'live'}"
