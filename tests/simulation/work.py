"""Work at the SOT: transactions, short and long, and TRUNCATE."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.events import TRUNCATE, Happening, event
from tests.simulation.sot import Transaction

if TYPE_CHECKING:
    from tests.simulation.world import World

# Transactions in progress at once.
OPEN_MAX = 4


def _statement(world: World, rng: Random, transaction: Transaction) -> str:
    """One statement on a random key; "" when the key is locked."""
    sot, key = world.sot, rng.choice(world.keys)
    if transaction.waiting:
        return f"insert of {transaction.waiting[0]} gets through" * sot.insert_late(transaction, world.value(rng))
    value = world.value(rng)
    draw = rng.random()
    if draw < 0.55 or sot.seen(transaction, key) is None:
        partial = draw < 0.05
        return f"{key} = {value}{' (partial)' * partial}" * sot.write(transaction, key, value, partial=partial)
    if draw < 0.8:
        return f"delete {key}" * sot.delete(transaction, key)
    keys = rng.sample(world.keys, min(len(world.keys), rng.choice([2, 2, 3])))
    if rng.random() < 0.5:
        keys.append(keys[0])
    return f"keys move {keys}" * sot.rotate(transaction, keys)


def commit(world: World, rng: Random, transaction: Transaction) -> str:
    """The end of a transaction, which others may see later than the log."""
    if transaction.waiting or not transaction.changes:
        world.sot.rollback(transaction)
        return "rolled back"
    world.commit_transaction(transaction)
    if "visibility lags" in world.counts and rng.random() < 0.5:
        return "committed, not visible yet"
    world.sot.show(transaction)
    return "committed"


@event("transaction", 60)
def _transaction(world: World, rng: Random) -> str:
    """A short transaction."""
    transaction = world.sot.begin()
    said = [_statement(world, rng, transaction) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    return f"{transaction.txid}: {', '.join(s for s in said if s)}; {commit(world, rng, transaction)}"


@event(TRUNCATE, 8, fault=True)
def _truncate(world: World, rng: Random) -> str:
    """A TRUNCATE, perhaps with rows that come and go in its transaction. It waits until it has the table for itself."""
    for other in list(world.sot.open):
        if not other.committed:
            commit(world, rng, other)
        if other in world.sot.open:
            world.sot.show(other)
    transaction = world.sot.begin()
    said = [_statement(world, rng, transaction) for _ in range(rng.choice([0, 0, 1]))]
    if not world.sot.truncate(transaction, world.keys):
        world.sot.rollback(transaction)
        return ""
    said += [_statement(world, rng, transaction) for _ in range(rng.choice([0, 0, 1, 2]))]
    return f"{transaction.txid}: TRUNCATE {', '.join(s for s in said if s)}; {commit(world, rng, transaction)}"


@event("long transaction", 12)
def _long(world: World, rng: Random) -> str:
    """One that stays open, with its first statements."""
    if len(world.sot.open) >= OPEN_MAX:
        return ""
    transaction = world.sot.begin()
    return f"{transaction.txid} begins: {_statement(world, rng, transaction)}"


def _of_one_open(happen: Callable[[World, Random, Transaction], str]) -> Happening:
    """What happens to one transaction that is still open; nothing where none is."""

    def happened(world: World, rng: Random) -> str:
        running = [each for each in world.sot.open if not each.committed]
        return happen(world, rng, rng.choice(running)) if running else ""

    return happened


@event("statement", 20)
@_of_one_open
def _goes_on(world: World, rng: Random, transaction: Transaction) -> str:
    """An open transaction goes on."""
    said = _statement(world, rng, transaction)
    return said and f"{transaction.txid}: {said}"


@event("end", 12)
@_of_one_open
def _ends(world: World, rng: Random, transaction: Transaction) -> str:
    """An open transaction commits, or is rolled back."""
    if rng.random() < 0.2:
        world.sot.rollback(transaction)
        return f"{transaction.txid} is rolled back"
    return f"{transaction.txid} {commit(world, rng, transaction)}"


@event("visible", 8)
def _visible(world: World, rng: Random) -> str:
    """A commit that others could not see is seen."""
    hidden = [each for each in world.sot.open if each.committed]
    if not hidden:
        return ""
    transaction = rng.choice(hidden)
    world.sot.show(transaction)
    return f"{transaction.txid} is visible"
