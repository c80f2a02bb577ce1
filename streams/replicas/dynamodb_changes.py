"""What a record of a DynamoDB stream says: whether a change is ours. Pure.

An item has its token beside its row, so one record is what a transaction is in another store's log: a change is
explained by a larger token in the new image than in the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from streams.checks.explained import Explained
from streams.replicas.dynamodb_items import Item, ItemForm
from streams.replicas.log import Foreign


def note_foreign(foreign: Foreign, form: ItemForm, records: Iterable[Mapping[str, Any]]) -> None:
    """Add what in these records is not ours."""
    for record in records:
        found = explained(form, record["dynamodb"])
        if found is not None and found.foreign():
            foreign.add(found)


def explained(form: ItemForm, change: Mapping[str, Any]) -> Explained | None:
    """What was done to one item; None where no row of the table has its key: the reverse sweep tells of that."""
    key = form.row_key(change["Keys"])
    if key is None:
        return None
    old, new = change.get("OldImage"), change.get("NewImage")
    found = Explained(writes_content=True)
    if new is not None:
        _written(found, form, key, old, new)
    else:
        # A tombstone expires, or is removed with the replica.
        found.forgotten(key, dead=old is not None and form.names.dead in old)
    return found


def _written(found: Explained, form: ItemForm, key: bytes, old: Item | None, new: Item) -> None:
    found.changed(key)
    token, before = form.token(new), None if old is None else form.token(old)
    if token is not None:
        earlier = None if before is None else before.encode()
        found.token(key, earlier, token.encode(), dead=form.names.dead in new)
