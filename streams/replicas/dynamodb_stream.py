"""The streams of a DynamoDB replica's tables, read by one worker.

Each table has a stream of its own, in shards that come and go. Where nothing tells how far one was read, where a part
of it is gone unread (it is kept for 24 hours), or it is another stream than before, it begins anew: then every key
counts as changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from streams.errors import HoldtrueError, StoreUnavailable
from streams.plan.types import STREAM_VIEW
from streams.replicas.base import Refused
from streams.replicas.dynamodb_changes import note_foreign
from streams.replicas.dynamodb_client import code, configuring, translated
from streams.replicas.dynamodb_items import ItemForm
from streams.replicas.dynamodb_schema import STREAM, active, view_of
from streams.replicas.dynamodb_shards import BEGINNING, Walk
from streams.replicas.dynamodb_slot import SAVE_SECONDS, LogSlot, Place
from streams.replicas.log import Foreign, LogLost, Read

log = logging.getLogger(__name__)

# DynamoDB gives a shard's records five times a second to all its readers together, which should be two at most.
POLL_SECONDS: Final = 1.0
FULL_SECONDS: Final = 0.25
THROTTLED_SECONDS: Final = 2.0
RECORDS_MAX: Final = 1_000
# What one read takes at most, so that what it found is handed on in time; and how long it waits for a shard's turn.
READ_SECONDS_MAX: Final = 0.5
WAIT_SECONDS: Final = 0.25
# How often it is looked whether the table still has this stream, and which shards there are when none has ended.
WATCH_SECONDS: Final = 10.0
LIST_SECONDS: Final = 60.0
LIST_AGAIN_SECONDS: Final = 1.0
# Shards of a stream that are listed at most, a hundred at a time, and of those that are read at the same time.
LISTS_MAX: Final = 100
SHARDS_MAX: Final = 1_000
_GONE: Final = frozenset({"TrimmedDataAccessException", "ResourceNotFoundException", "ValidationException"})
_THROTTLED: Final = frozenset(
    {"LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
)
_EXPIRED: Final = "ExpiredIteratorException"


class Followed(NamedTuple):
    """A table whose stream is followed, as it is named in DynamoDB, and its items."""

    name: str
    form: ItemForm


class _Reading:
    """How one table's stream is being read. Times are of the monotonic clock."""

    def __init__(self, table: str, followed: Followed, stream: str, walk: Walk) -> None:
        self.table = table
        self.followed = followed
        self.stream = stream
        self.walk = walk
        self.iterators: dict[str, str] = {}
        self.due: dict[str, float] = {}
        # Since when each shard is not read to where it was then.
        self.since: dict[str, float] = {}
        self.list_at = self.watch_at = 0.0

    def forget(self, shard: str) -> None:
        """It was read to its end."""
        for known in (self.iterators, self.due, self.since):
            known.pop(shard, None)


class DynamoStreams:
    """The streams of one replica (the contract is `replicas.log.FollowedLog`). `tables`: by SOT table."""

    def __init__(self, client: Any, streams: Any, slot: LogSlot, tables: Mapping[str, Followed]) -> None:
        self._client = client
        self._streams = streams
        self._slot = slot
        self._tables = tables
        self._where: str = client.meta.endpoint_url
        self._readings: list[_Reading] = []
        self._saved: dict[str, Place] = {}
        self._begun: set[str] = set()
        self._is_open = False
        # Numbers of reads: the one at which everything that was found is with the owners, if it is the last.
        self._through = self._confirmed = 0
        self._save_at = 0.0

    @property
    def behind(self) -> float:
        """Seconds of which the streams have not been read."""
        now = time.monotonic()
        return max((now - since for reading in self._readings for since in reading.since.values()), default=0.0)

    def open(self) -> Collection[str]:
        """Begin where it was left; the tables of which that is not known, or not there any more."""
        self._saved = self._slot.take()
        self._through = self._confirmed = 0
        self._is_open, self._save_at = True, time.monotonic() + SAVE_SECONDS
        try:
            self._readings = [self._opened(table, followed) for table, followed in self._tables.items()]
        except BaseException:
            self.close()
            raise
        self._begun = {reading.table for reading in self._readings if not reading.walk.is_begun}
        return set(self._begun)

    def read(self) -> Read:
        """What the shards have whose turn it is; of a table that begins anew, that everything counts as changed."""
        self._save()
        self._through += 1
        foreign = {table: Foreign() for table in self._tables}
        for table in self._begun:
            foreign[table].everything = True
        self._begun = set()
        changes = 0
        for reading, shard in self._due(time.monotonic() + READ_SECONDS_MAX):
            records = self._records(reading, shard)
            changes += len(records)
            note_foreign(foreign[reading.table], reading.followed.form, records)
        return Read(_where_any(foreign), self._through, changes)

    def confirm(self, through: int) -> None:
        """What was read is with the owners: the next one need not read it again."""
        self._confirmed = through

    def close(self) -> None:
        """Let another one follow at once; if it cannot be told, after a while."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._save(at_once=True)
            self._slot.release()
        except HoldtrueError as error:
            log.info("who follows %s is not noted: %s", self._where, error)
        self._readings = []

    def _opened(self, table: str, followed: Followed) -> _Reading:
        stream = self._stream_of(followed.name)
        place = self._saved.get(table)
        walk = Walk(place.walk.at, place.walk.ended) if place is not None and place.stream == stream else Walk()
        return _Reading(table, followed, stream, walk)

    def _stream_of(self, name: str) -> str:
        """The table's stream, made where it has none. Raises Refused, StoreUnavailable."""
        with configuring(self._of(name)):
            found = active(self._client, name)
            if view_of(found) is None:
                self._client.update_table(TableName=name, StreamSpecification=STREAM)
                found = active(self._client, name)
        view = view_of(found)
        if view not in (None, STREAM_VIEW):
            raise Refused(
                f"The stream of {self._of(name)} shows {view}, and following it needs {STREAM_VIEW}.",
                "Switch that stream off, if nobody else reads it: the worker makes another; "
                "or take validation.replica_log out.",
            )
        if view is None or not found.get("LatestStreamArn"):
            raise StoreUnavailable(f"The stream of {self._of(name)} is not there yet.", "It is tried again.")
        return str(found["LatestStreamArn"])

    def _save(self, *, at_once: bool = False) -> None:
        """Note how far everything is handed on; and that we are still here."""
        now = time.monotonic()
        if not at_once and now < self._save_at:
            return
        if self._through and self._confirmed == self._through:
            self._saved = {r.table: Place(r.stream, Walk(r.walk.at, r.walk.ended)) for r in self._readings}
        self._slot.save(self._saved)
        self._save_at = now + SAVE_SECONDS

    def _due(self, until: float) -> Iterator[tuple[_Reading, str]]:
        """The shards whose turn it is, while there is time, those that wait longest first; waits a little for none."""
        for reading in self._readings:
            self._look(reading)
        now = time.monotonic()
        shards = ((r.due.get(shard, 0.0), shard, r) for r in self._readings for shard in r.walk.at)
        due = sorted((each for each in shards if each[0] <= now), key=itemgetter(0))
        if not due:
            time.sleep(WAIT_SECONDS)
        for _, shard, reading in due:
            if time.monotonic() >= until:
                return
            yield reading, shard

    def _look(self, reading: _Reading) -> None:
        """Is it still this stream, and which shards has it? Raises LogLost."""
        now = time.monotonic()
        if now >= reading.watch_at:
            reading.watch_at = now + WATCH_SECONDS
            with translated(self._of(reading.followed.name)):
                found = self._client.describe_table(TableName=reading.followed.name)["Table"]
            if view_of(found) != STREAM_VIEW or found.get("LatestStreamArn") != reading.stream:
                raise self._lost(reading, "was switched off, or replaced")
        if now >= reading.list_at or (
            reading.walk.ended and now >= reading.list_at - LIST_SECONDS + LIST_AGAIN_SECONDS
        ):
            reading.list_at = now + LIST_SECONDS
            with suppress(_Later):  # as soon as it is looked again
                self._list(reading)

    def _list(self, reading: _Reading) -> None:
        parents: dict[str, str | None] = {}
        request = {"StreamArn": reading.stream}
        for _ in range(LISTS_MAX):
            with self._reading(reading):
                found = self._streams.describe_stream(**request)["StreamDescription"]
            parents |= {shard["ShardId"]: shard.get("ParentShardId") for shard in found["Shards"]}
            if "LastEvaluatedShardId" not in found:
                break
            request["ExclusiveStartShardId"] = found["LastEvaluatedShardId"]
        else:
            raise self._too_many(reading)
        if not reading.walk.learn(parents):
            raise self._lost(reading, "has lost a part that was not read")
        if len(reading.walk.at) > SHARDS_MAX:
            raise self._too_many(reading)
        for shard in reading.walk.at:
            reading.since.setdefault(shard, time.monotonic())

    def _records(self, reading: _Reading, shard: str) -> Sequence[Mapping[str, Any]]:
        """The next records of a shard; none where it is not to be asked now."""
        now = time.monotonic()
        try:
            with self._reading(reading):
                answer = self._streams.get_records(ShardIterator=self._iterator(reading, shard), Limit=RECORDS_MAX)
        except _Later as later:
            reading.due[shard] = now + later.seconds
            reading.iterators.pop(shard, None)
            return ()
        records: Sequence[Mapping[str, Any]] = answer["Records"]
        self._note(reading, shard, now, records, answer.get("NextShardIterator"))
        return records

    def _note(
        self, reading: _Reading, shard: str, now: float, records: Sequence[Mapping[str, Any]], following: str | None
    ) -> None:
        if records:
            reading.walk.read(shard, records[-1]["dynamodb"]["SequenceNumber"])
        if following is None:
            reading.walk.end(shard)
            reading.forget(shard)
            return
        is_full = len(records) == RECORDS_MAX
        reading.iterators[shard] = following
        reading.due[shard] = now + (FULL_SECONDS if is_full else POLL_SECONDS)
        if not is_full:
            reading.since[shard] = now

    def _iterator(self, reading: _Reading, shard: str) -> str:
        if shard not in reading.iterators:
            through = reading.walk.at[shard]
            at = {"ShardIteratorType": "TRIM_HORIZON"}
            if through != BEGINNING:
                at = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": through}
            answer = self._streams.get_shard_iterator(StreamArn=reading.stream, ShardId=shard, **at)
            reading.iterators[shard] = answer["ShardIterator"]
        return reading.iterators[shard]

    @contextmanager
    def _reading(self, reading: _Reading) -> Iterator[None]:
        """What an answer of the stream means: begin anew, ask later, or the store is away."""
        with translated(self._of(reading.followed.name)):
            try:
                yield
            except ClientError as error:
                said = code(error)
                if said in _GONE:
                    raise self._lost(reading, f"is not what it was ({said})") from error
                if said == _EXPIRED or said in _THROTTLED:
                    raise _Later(0.0 if said == _EXPIRED else THROTTLED_SECONDS) from error
                raise

    def _lost(self, reading: _Reading, why: str) -> LogLost:
        """The stream begins anew, whoever opens it next: nobody may believe that it was read without a gap."""
        self._saved.pop(reading.table, None)
        self._confirmed = -1
        return LogLost(
            f"The stream of {self._of(reading.followed.name)} {why}.", "It is followed anew, and every key is visited."
        )

    def _too_many(self, reading: _Reading) -> Refused:
        return Refused(
            f"The stream of {self._of(reading.followed.name)} has more shards than can be followed: "
            f"{SHARDS_MAX} that are read at once, {LISTS_MAX * 100} that are listed.",
            "Take validation.replica_log out: the scrub visits every key within its period.",
        )

    def _of(self, name: str) -> str:
        return f"table {name} at {self._where}"


class _Later(Exception):
    """The shard is to be asked again, in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _where_any(foreign: Mapping[str, Foreign]) -> dict[str, Foreign]:
    return {table: found for table, found in foreign.items() if found.keys or found.everything}
