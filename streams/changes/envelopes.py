"""Reading what is needed of many Debezium envelopes at once.

Reads those records that hold a row to write (inserts, updates, reads); deletes and whatever else are read one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from streams.changes.columns import Block, Column, Compiler, Field, Irregular, NotColumnar, Positions, read_fields
from streams.changes.envelope import STREAMED, WIRE_HEADER_BYTES, EnvelopeSchema

_SOURCE_FIELDS = frozenset({"ts_ms", "snapshot", "txId", "lsn"})
# Avro's branches of `before` and `after` when null comes first, each one byte.
_NULL, _ROW = 0, 2


class Envelopes(NamedTuple):
    """What is needed of the records at `places` among those given, in their order.

    columns: Avro values of the rows after the change, by column name. read: whether it answers a snapshot.
    committed_ms: in ms since 1970. txid, lsn: 0 where there is none.
    """

    places: Sequence[int]
    columns: Mapping[str, Column]
    read: Sequence[bool]
    committed_ms: Sequence[int]
    txid: Sequence[int]
    lsn: Sequence[int]


class EnvelopesReader:
    """Reads records of one writer schema, and of their rows the `wanted` columns."""

    def __init__(
        self, row: Sequence[tuple[str, Field]], source: Sequence[tuple[str, Field]], wanted: Collection[str]
    ) -> None:
        self._row, self._source = row, source
        self._wanted = frozenset(wanted)

    @classmethod
    def of(cls, schema: EnvelopeSchema, wanted: Collection[str]) -> Self | None:
        """The reader for a schema; None if it has types that are only read one by one."""
        if schema.before[0] != "null" or schema.after[0] != "null":
            return None
        compiler = Compiler()
        try:
            return cls(compiler.fields(schema.row), compiler.fields(schema.source), wanted)
        except NotColumnar:
            return None

    def read(self, values: Sequence[bytes]) -> Envelopes:
        """Those of the records, in Confluent wire format, that hold a row to write.

        Raises Irregular if any record does not fit the schema.
        """
        block = Block(values)
        try:
            return self._read(block)
        except IndexError:  # a position outside the block
            raise Irregular from None

    def _read(self, block: Block) -> Envelopes:
        at = self._skip_before(block, block.starts + WIRE_HEADER_BYTES)
        places = np.flatnonzero(block.octets[at] == _ROW)
        columns, at = read_fields(self._row, self._wanted, block, at[places] + 1)
        source, at = read_fields(self._source, _SOURCE_FIELDS, block, at)
        # Positions only ever move on, so whoever ran into the next record is still beyond the end of its own.
        if (at > block.ends[places]).any():
            raise Irregular
        return Envelopes(
            places.tolist(),
            columns,
            [snapshot not in STREAMED for snapshot in source["snapshot"].values()],
            source["ts_ms"].values(),
            [txid or 0 for txid in source["txId"].values()],
            [lsn or 0 for lsn in source["lsn"].values()],
        )

    def _skip_before(self, block: Block, at: Positions) -> Positions:
        after = at + 1
        branches = block.octets[at]
        with_row = np.flatnonzero(branches == _ROW)
        if len(with_row) < len(at) and (branches[branches != _ROW] != _NULL).any():
            raise Irregular
        for _, field in self._row if len(with_row) else ():
            after[with_row] = field.skip(block, after[with_row])
        return after
