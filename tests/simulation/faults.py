"""Faults of every part, and the runs and repairs that find them and mend them.

The list of events is complete once this module is there: take it from here.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from faust.types import TP

from streams.checks.request import Depth
from streams.steps import Step
from streams.versions.entry import Token
from tests.simulation.events import EVENTS, Happening, event, weights
from tests.simulation.others import WHO
from tests.simulation.sot import Transaction, key_bytes
from tests.simulation.work import OPEN_MAX, commit
from tests.simulation.worker import CHANGES

if TYPE_CHECKING:
    from tests.simulation.worker import Process
    from tests.simulation.world import World

__all__ = ["EVENTS", "WHO", "weights"]

# Steps of a batch, a check and a repair at which a worker can be hit.
STEPS = [
    Step.batch_received, Step.batch_decoded, Step.sot_asked, Step.store_about_to_write, Step.store_written,
    Step.changelog_acknowledged, Step.state_written, Step.offset_committed, Step.check_received, Step.check_answered,
    Step.repair_received, Step.repair_written, Step.repair_recorded, Step.recovery_batch,
]  # fmt: skip

# And those of a TRUNCATE, and of a rebuild.
SWEEP_STEPS = [Step.truncate_fenced, Step.sweep_ordered, Step.rows_swept]
BACKFILL_STEPS = [Step.backfill_ordered, Step.rows_backfilled, Step.backfill_noted, Step.backfill_done]
REBUILD_STEPS = [Step.partition_taken_over, Step.rows_rebuilt, Step.rebuild_done]


def _steps(world: World) -> list[Step]:
    """Where a worker can be hit."""
    history = world.history
    rare = (
        (history.truncates, SWEEP_STEPS),
        (history.losses, REBUILD_STEPS * 2),
        (history.backfills, BACKFILL_STEPS * 2),
    )
    return [*STEPS, *(step for there, steps in rare if there for step in steps)]


# The SOT, and what others see of it.


@event("visibility lags", 3, fault=True)
def _lags(world: World, rng: Random) -> str:
    """From now on commits can be in the log before others see them: a standby is waited for."""
    return "the standby is slow"


@event("waiting insert", 4, fault=True)
def _waiting(world: World, rng: Random) -> str:
    """An insert writes its heap record, then waits on another index; meanwhile somebody deletes the key's row; the
    insert gets through and commits later, with the smaller lsn.
    """
    sot, key = world.sot, rng.choice(world.keys)
    deleting = sot.begin()
    if len(sot.open) > OPEN_MAX or not sot.write(deleting, key, world.value(rng)):
        sot.rollback(deleting)
        return ""
    inserting = sot.begin()
    sot.insert_early(inserting, key)
    sot.delete(deleting, key)
    world.commit_transaction(deleting)
    sot.show(deleting)
    world.loop.call_later(rng.uniform(0.0, 0.3), _gets_through, world, rng, inserting)
    return f"{inserting.txid} wants to insert {key}, {deleting.txid} writes and deletes it"


def _gets_through(world: World, rng: Random, transaction: Transaction) -> None:
    if transaction in world.sot.open and transaction.waiting and world.sot.insert_late(transaction, world.value(rng)):
        world.say("the insert of %d gets through: %s", transaction.txid, commit(world, rng, transaction))


def _away(world: World, rng: Random, what: Any, flag: str = "unavailable") -> str:
    setattr(what, flag, True)
    world.loop.call_later(rng.uniform(0.05, 1.0), setattr, what, flag, False)
    return "for a while"


@event("sot away", 2, fault=True)
def _sot_away(world: World, rng: Random) -> str:
    return _away(world, rng, world.sot)


@event("failover", 1, fault=True)
def _failover(world: World, rng: Random) -> str:
    """The SOT fails over to a standby that lacks the last commits, on a new timeline. Nobody can read for a while."""
    down = rng.uniform(1.2, 2.0)
    world.sot.unavailable = True
    world.loop.call_later(down, setattr, world.sot, "unavailable", False)
    gone = world.sot.fail_over(rng.randint(0, 3))
    world.connector.follow_failover(down)
    world.invariants.excuse(gone)
    world.forget_versions()
    if world.history.breaks:
        world.control.broken()
    return f"changes of {sorted(gone)} are gone"


@event("restore", 2, fault=True)
def _restore(world: World, rng: Random) -> str:
    """The SOT is restored from a backup into a cluster whose positions and transaction ids are smaller, or larger.

    The connector begins with a snapshot; nobody can read for a while.
    """
    down = rng.uniform(1.2, 2.0)
    world.sot.unavailable = True
    world.loop.call_later(down, setattr, world.sot, "unavailable", False)
    gone = world.sot.restore(rng.randint(0, 3), rng.choice([50, 300, 5_000, 1 << 31]), rng.choice([100, 3_000, 10**6]))
    gone |= world.connector.snapshot_again(down, 0, skipping=True)
    world.invariants.excuse(gone)
    world.forget_versions()
    world.control.broken()
    return f"changes of {sorted(gone)} are gone"


@event("topic made anew", 2, fault=True)
def _topic(world: World, rng: Random) -> str:
    """Deleted and made again under the connector: what was not applied is lost."""
    places = [TP(CHANGES, partition) for partition in range(len(world.topic.partitions))]
    lost = world.topic.make_anew([_done(world, partition) for partition in range(len(places))])
    world.applied = [0] * len(places)
    for place in places:
        world.group.committed.pop(place, None)
    world.invariants.excuse(lost)
    return f"records of {sorted(lost)} are gone"


@event("hold", 2, fault=True)
def _hold(world: World, rng: Random) -> str:
    """Somebody has the table wait; later, or at rest, it is released."""
    world.control.tell(Depth.hold)
    return "the table is to wait"


@event("release", 5)
def _release(world: World, rng: Random) -> str:
    """Somebody has the table go on."""
    if not any(owner.state.hold.pending for owner in world.owners().values()):
        return ""
    world.control.tell(Depth.resume)
    return "the table is to go on"


def _done(world: World, partition: int) -> int:
    """What was applied and not recorded is lost, too, when the changelog has lost its end."""
    return min(world.applied[partition], world.invariants.recorded(partition))


@event("retention", 2, fault=True)
def _retention(world: World, rng: Random) -> str:
    """The oldest records of the change topic expire, whether they have been applied or not."""
    lost: set[bytes] = set()
    for number, partition in enumerate(world.topic.partitions):
        first = rng.choice([partition.end, rng.randint(partition.first, partition.end)])
        lost |= world.topic.expire(number, first, _done(world, number))
    world.invariants.excuse(lost)
    return f"the topic begins at {[p.first for p in world.topic.partitions]}; {sorted(lost)} were not applied"


# The connector.


def _broken(rng: Random) -> tuple[float, int]:
    """How long a task is down, and how many records of it come late."""
    return rng.choice([0.01, 0.1, 0.5]), rng.choice([0, 1, 3])


@event("connector restarts", 4, fault=True)
def _restarts(world: World, rng: Random) -> str:
    down, late = _broken(rng)
    world.connector.restart(down, late)
    return f"up to {late} records come late"


@event("connector loses offsets", 2, fault=True)
def _loses_offsets(world: World, rng: Random) -> str:
    down, late = _broken(rng)
    world.connector.lose_offsets(down, late)
    return f"up to {late} records come late"


@event("new snapshot", 2, fault=True)
def _snapshot(world: World, rng: Random) -> str:
    down, late = _broken(rng)
    skipping = rng.random() < 0.3
    skipped = world.connector.snapshot_again(down, late, skipping=skipping)
    world.invariants.excuse(skipped)
    return f"changes of {sorted(skipped)} are skipped" if skipping else "then the log from the slot's place"


@event("incremental snapshot", 4, fault=True)
def _incremental(world: World, rng: Random) -> str:
    world.connector.read_chunk()
    return "of all keys"


@event("slot made anew", 1, fault=True)
def _slot(world: World, rng: Random) -> str:
    down, late = _broken(rng)
    skipped = world.connector.recreate_slot(down, late)
    world.invariants.excuse(skipped)
    return f"changes of {sorted(skipped)} are never sent"


@event("undecodable change", 1, fault=True)
def _undecodable(world: World, rng: Random) -> str:
    world.connector.undecodable += 1
    return "the next one"


# Workers.


def _live(world: World) -> list[Process]:
    return [each for each in world.processes if each is not None and not each.dead]


def _of_one(happen: Callable[[World, Random, Process], str]) -> Happening:
    """What happens to one running worker; nothing where none runs."""

    def happened(world: World, rng: Random) -> str:
        running = [each for each in _live(world) if not each.frozen]
        return happen(world, rng, rng.choice(running)) if running else ""

    return happened


def _start_later(world: World, rng: Random, number: int) -> None:
    world.start_later(number, rng.uniform(0.01, 0.8))


@event("worker killed", 4, fault=True)
@_of_one
def _killed(world: World, rng: Random, process: Process) -> str:
    process.kill()
    _start_later(world, rng, process.number)
    return str(process)


@event("worker killed at a step", 6, fault=True)
@_of_one
def _killed_at(world: World, rng: Random, process: Process) -> str:
    step = rng.choice(_steps(world))
    process.trap = (step, "kill")
    return f"{process} at {step}"


@event("worker freezes", 4, fault=True)
@_of_one
def _freezes(world: World, rng: Random, process: Process) -> str:
    process.freeze()
    return str(process)


@event("worker freezes at a step", 6, fault=True)
@_of_one
def _freezes_at(world: World, rng: Random, process: Process) -> str:
    steps = STEPS[:8] + STEPS[10:13]
    step = rng.choice(steps + REBUILD_STEPS * 2 if world.history.losses else steps)
    process.trap = (step, "freeze")
    return f"{process} at {step}"


@event("recovery", 6)
def _recovery(world: World, rng: Random) -> str:
    """Who froze wakes up; who is down is started."""
    silent = [each for each in _live(world) if each.frozen]
    if silent:
        process = rng.choice(silent)
        process.thaw()
        return f"{process} wakes up"
    for number, each in enumerate(world.processes):
        if each is None or each.dead:
            world.start(number)
            return f"{world.processes[number]} starts"
    return ""


@event("rebalance", 3, fault=True)
def _rebalance(world: World, rng: Random) -> str:
    world.group.rebalance()
    return "for no reason"


@event("disk lost", 2, fault=True)
@_of_one
def _disk(world: World, rng: Random, process: Process) -> str:
    process.kill()
    world.machines[process.number].wipe()
    _start_later(world, rng, process.number)
    return f"of {process}"


@event("power lost", 2, fault=True)
@_of_one
def _power(world: World, rng: Random, process: Process) -> str:
    process.kill()
    world.machines[process.number].lose_last_writes(rng.randint(1, 4))
    _start_later(world, rng, process.number)
    return f"the last writes of {process} are gone"


@event("disaster", 1, fault=True)
def _disaster(world: World, rng: Random) -> str:
    """Kafka loses the changelog's end, and every worker its disk."""
    _lose_workers(world, rng)
    for changelog, partition in zip(world.changelogs, world.topic.partitions, strict=True):
        lost = changelog.lose_tail(rng.randint(1, 12))
        # What neither topic nor changelog has any more.
        gone = (key for key, e in lost.items() if world.topic.life > 1 or e.token.offset < partition.first)
        world.invariants.excuse(gone)
    return "the changelog's end and all disks are gone"


@event("all is lost", 1.5, fault=True)
def _all(world: World, rng: Random) -> str:
    """Every worker loses its disk, and Kafka the changelog; mostly the change topic has lost its beginning."""
    _lose_workers(world, rng)
    for number, (changelog, partition) in enumerate(zip(world.changelogs, world.topic.partitions, strict=True)):
        if rng.random() < 0.8:
            world.topic.expire(number, rng.choice([partition.end, rng.randint(0, partition.end)]), partition.end)
        if world.topic.life > 1 and not partition.first:
            # It begins where it always did: nothing tells that there was another one before.
            world.invariants.excuse(world.all_keys())
        if rng.random() < 0.5:
            world.group.committed.pop(TP(CHANGES, number), None)
        changelog.lose_tail(changelog.end)
    return f"the topic begins at {[p.first for p in world.topic.partitions]}"


def _lose_workers(world: World, rng: Random) -> None:
    """All die at once, with their disks, and nothing of them arrives any more."""
    for process in _live(world):
        process.kill()
        _start_later(world, rng, process.number)
    for process in world.lives:
        process.cut_off = process.dead
    for machine in world.machines:
        machine.wipe()


@event("changelog away", 2, fault=True)
def _changelog_away(world: World, rng: Random) -> str:
    return _away(world, rng, world, "changelog_away")


@event("compaction", 4, fault=True)
def _compaction(world: World, rng: Random) -> str:
    done = [changelog.compact(rng.choice([0, 2, 8])) for changelog in world.changelogs]
    return "of the changelog" * any(done)


# The store.


@event("store away", 3, fault=True)
def _store_away(world: World, rng: Random) -> str:
    return _away(world, rng, world.store)


@event("half a batch", 4, fault=True)
def _half(world: World, rng: Random) -> str:
    world.store.halves += rng.randint(1, 2)
    return "the next batch breaks off"


@event("slow", 2, fault=True)
def _slow(world: World, rng: Random) -> str:
    world.slow = rng.choice([5.0, 30.0])
    world.loop.call_later(rng.uniform(0.1, 1.0), setattr, world, "slow", 1.0)
    return "everything"


@event("store refuses", 2, fault=True)
def _refuses(world: World, rng: Random) -> str:
    key = key_bytes(rng.choice(world.keys))
    if key in world.store.refusing:
        world.store.refusing.discard(key)
        return f"{key!r} no more"
    world.store.refusing.add(key)
    return f"rows of {key!r}"


@event("eviction", 2, fault=True)
def _eviction(world: World, rng: Random) -> str:
    key, token_too = key_bytes(rng.choice(world.keys)), rng.random() < 0.5
    world.others.spoiled(world.store.evict(key, token_too=token_too))
    return f"{key!r}{' with its token' * token_too}"


@event("copy of the store", 4, fault=True)
def _copy(world: World, rng: Random) -> str:
    """A standby of the store is here; or the store fails over to it."""
    if rng.random() < 0.6:
        world.store.keep_copy()
        return "kept"
    lost = world.store.roll_back()
    world.others.spoiled(lost)
    return f"rolled back to: {sorted(lost)}" * bool(lost)


@event("rogue write", 3, fault=True)
def _rogue(world: World, rng: Random) -> str:
    key = rng.choice(world.keys)
    name = key_bytes(key)
    row = rng.choice([None, (str(key), "rogue"), (str(key), f"rogue{rng.randint(1, 9)}")])
    if world.store.row(name) == row:
        return ""
    world.others.spoiled(world.store.plant(name, row))
    return f"{name!r} is {row}"


@event("rogue token", 2, fault=True)
def _rogue_token(world: World, rng: Random) -> str:
    """A token from the future, with content that is not ours."""
    key = rng.choice(world.keys)
    name = key_bytes(key)
    ends = max(partition.end for partition in world.topic.partitions)
    token = rng.choice([Token(1, ends + rng.randint(0, 5), 0), Token(1, 10**6, 3), Token(7, 0, 0)])
    row = rng.choice([None, (str(key), "rogue"), world.store.row(name)])
    world.others.spoiled(world.store.plant(name, row, token))
    return f"{name!r} is {row} under {tuple(token)}"


# Runs and repairs.


@event("run", 1.5)
def _run(world: World, rng: Random) -> str:
    if world.auditor.busy:
        return ""
    return f"ended {world.auditor.validate().outcome}"


@event("backfill", 3)
def _backfill(world: World, rng: Random) -> str:
    """Of the table, or of a range."""
    lower, upper = sorted(rng.choice(world.keys) for _ in range(2))
    bounds = rng.choice([(b"", b""), (key_bytes(lower), key_bytes(upper)), (key_bytes(lower), b"")])
    return f"{world.auditor.order_backfill(*bounds)} of {bounds}"


@event("repair", 4)
def _repair(world: World, rng: Random) -> str:
    keys = [key_bytes(key) for key in rng.sample(world.keys, rng.randint(1, 2))]
    return f"{world.auditor.order(keys)} of {keys}"
