#!/usr/bin/env python3
"""Pages people while copies are in drift: a consumer of holdtrue's drift topic, to be deployed as it is or changed.

    HOLDTRUE_KAFKA=… HOLDTRUE_REGISTRY=… python drift_pager.py [--topic holdtrue.drift] [--webhook URL] [--show-keys]

One page for each table of each replica: `trigger` when its first drift is open, and again when another kind comes;
`resolve` when none is left. Each is a JSON object on stdout, or posted to a webhook under a `dedup_key`, as paging
services want it.

* At least once: offsets are committed after the page has been taken. A restart reads the topic from its beginning,
  which is compacted, to know what is open, and acts from the committed offset on. A page may come twice, under its
  dedup_key.
* Run one: a table's drift lies in several partitions. A second one would send each page once more, nothing else.
* Keys of rows are never shown, unless asked for; values of rows never.

Needs confluent-kafka, fastavro and requests.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import fastavro
import requests
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

# What counts as open: wrong, or not known to be right again.
OPEN = frozenset({"open", "repairing", "repaired"})
SIGHTINGS = frozenset({"suspected", "open"})
ENDED = frozenset({"resolved", "superseded"})
KAFKA_SECONDS = 15.0
# Records that are looked at together: a thousand keys that go wrong at once are one page.
BATCH_MAX = 1_000
BATCH_SECONDS = 1.0
WEBHOOK_SECONDS = 10.0
AGAIN_SECONDS_MAX = 60.0
KEYS_SHOWN_MAX = 20


@dataclass
class Drift:
    """A drift as its newest record has it. told: offset of the last record that is no run's end."""

    record: dict[str, Any]
    told: int


@dataclass
class Board:
    """What is known of all drift, and which pages are due. Knows nothing of Kafka."""

    show_keys: bool = False
    drift: dict[str, Drift] = field(default_factory=dict)
    # By table and replica, the kinds that people were paged for.
    paged: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def take(self, record: dict[str, Any], offset: int) -> None:
        """A record of the topic, in its partition's order."""
        known = self.drift.get(record["id"])
        before = record["ends_before"]
        if before is not None and known is not None and known.told >= before:
            return  # a run ends drift that was told of again since that run began: it stays
        told = offset if before is None else known.told if known is not None else -1
        if known is not None and _is_accepted(known.record, record):
            known.told = told
            return
        if record["state"] in ENDED:
            # Its end is remembered no longer than the topic does; a later record begins anew.
            self.drift.pop(record["id"], None)
        else:
            self.drift[record["id"]] = Drift(record, told)

    def pages(self) -> list[dict[str, Any]]:
        """What people must hear of now; `done` says that they have."""
        found = self._open()
        due = []
        for place in sorted(found.keys() | self.paged.keys()):
            kinds = frozenset(record["kind"] for record in found.get(place, ()))
            if kinds - self.paged.get(place, frozenset()):
                due.append(self._trigger(place, found[place]))
            elif not kinds:
                due.append({"action": "resolve", **_place(place), "summary": f"{_name(place)} is as it must be."})
        return due

    def done(self) -> None:
        """The pages that were due have been taken."""
        self.paged = {place: frozenset(record["kind"] for record in records) for place, records in self._open().items()}

    def _open(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for drift in self.drift.values():
            if drift.record["state"] in OPEN:
                found.setdefault((drift.record["table"], drift.record["replica"]), []).append(drift.record)
        return found

    def _trigger(self, place: tuple[str, str], records: list[dict[str, Any]]) -> dict[str, Any]:
        kinds: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        for record in records:
            # `keys` is 1, but for a record that counts keys instead of naming one (a flood).
            kinds[record["kind"]] += record["keys"]
            for cause, keys in (record["causes"] or {record["cause"]: record["keys"]}).items():
                causes[cause] += keys
        whole = sorted({record["reason"] for record in records if record["kind"] == "continuity" and record["reason"]})
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        page: dict[str, Any] = {
            "action": "trigger",
            **_place(place),
            "summary": f"{_name(place)} is in drift: {said}. See: holdtrue drift list --state open-all",
            "since": min(record["first_seen"] for record in records).isoformat(),
            "kinds": dict(kinds),
            "causes": dict(causes),
            # The table as a whole: changes of it may be missing, and only a full run closes that.
            "whole_table": whole,
            "counted_only": sum(record["keys"] for record in records if record["causes"]),
        }
        if self.show_keys:
            page["keys"] = [record["key"] for record in records if record["key"]][:KEYS_SHOWN_MAX]
        return page


def _is_accepted(known: dict[str, Any], record: dict[str, Any]) -> bool:
    """Whether a sighting is of what a person has accepted; who saw it need not know of that."""
    until: datetime | None = known["accepted_until"]
    accepted = known["state"] == "accepted" and until is not None and record["at"] < until
    return accepted and record["state"] in SIGHTINGS and record["kind"] == known["kind"]


def _place(place: tuple[str, str]) -> dict[str, str]:
    table, replica = place
    return {"table": table, "replica": replica, "dedup_key": f"holdtrue/{replica}/{table}"}


def _name(place: tuple[str, str]) -> str:
    return f"{place[0]} in {place[1]}"


class Decoder:
    """Values in the Confluent wire format: byte 0, the schema's id in 4 bytes, Avro."""

    def __init__(self, registry: str) -> None:
        self._registry = registry.rstrip("/")
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """The record, with what later versions of its schema have and it lacks."""
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in self._schemas:
            answer = requests.get(f"{self._registry}/schemas/ids/{schema_id}", timeout=WEBHOOK_SECONDS)
            answer.raise_for_status()
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(answer.json()["schema"]))
        record: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), self._schemas[schema_id], None)
        return {"keys": 1, "causes": {}, "ends_before": None, "accepted_until": None, **record}


class Pager:
    """Takes pages to people."""

    def __init__(self, webhook: str | None) -> None:
        self._webhook = webhook

    def send(self, page: dict[str, Any]) -> None:
        """Returns when it has been taken; tries again for as long as it takes."""
        if self._webhook is None:
            print(json.dumps(page), flush=True)
            return
        wait = 1.0
        while True:
            try:
                requests.post(self._webhook, json=page, timeout=WEBHOOK_SECONDS).raise_for_status()
                return
            except requests.RequestException as error:
                print(f"a page was not taken, and is sent again in {wait:.0f} s: {error}", file=sys.stderr, flush=True)
                time.sleep(wait)
                wait = min(wait * 2, AGAIN_SECONDS_MAX)


class Follower:
    """The drift topic: first what was acted on before, which only tells what is open, then what has come since."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,  # keeps the offsets; nobody joins it
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        found = self._consumer.list_topics(topic, timeout=KAFKA_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        self._topic = topic
        places = [TopicPartition(topic, number) for number in found.partitions]
        committed = self._consumer.committed(places, timeout=KAFKA_SECONDS)
        self._acted = {tp.partition: tp.offset for tp in committed if tp.offset > 0}
        self._next: dict[int, int] = {}
        self._behind = set(found.partitions)

    def before(self) -> Iterator[Message]:
        """What was acted on before, in so far as the topic still has it."""
        left = set(self._acted)
        self._assign(dict.fromkeys(left, OFFSET_BEGINNING))
        while left:
            for message in self._consume():
                number = _number(message.partition())
                if message.error() is not None or _number(message.offset()) >= self._acted[number] - 1:
                    left.discard(number)
                if message.error() is None and _number(message.offset()) < self._acted[number]:
                    yield message
        self._assign({number: self._acted.get(number, OFFSET_BEGINNING) for number in self._behind})

    def batch(self) -> list[Message]:
        """The next records; none when none came for a moment."""
        messages = []
        for message in self._consume():
            number = _number(message.partition())
            if message.error() is not None:
                self._behind.discard(number)
            else:
                self._next[number] = _number(message.offset()) + 1
                messages.append(message)
        return messages

    @property
    def caught_up(self) -> bool:
        """Whether each partition was read to its end once: what was over by then is nobody's page."""
        return not self._behind

    def commit(self) -> None:
        """All that was read has been acted on."""
        ends = [TopicPartition(self._topic, number, end) for number, end in self._next.items()]
        if ends:
            self._consumer.commit(offsets=ends, asynchronous=False)
            self._next.clear()

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _assign(self, offsets: dict[int, int]) -> None:
        self._consumer.assign([TopicPartition(self._topic, number, at) for number, at in offsets.items()])

    def _consume(self) -> list[Message]:
        """Records, and that a partition ends here. Raises what else Kafka has to say."""
        messages = self._consumer.consume(BATCH_MAX, BATCH_SECONDS)
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
        return messages


def _number(found: int | None) -> int:
    """Of a record that Kafka has delivered, which has both."""
    assert found is not None
    return found


def follow(follower: Follower, decoder: Decoder, board: Board, pager: Pager) -> None:
    """Until interrupted."""
    for message in follower.before():
        _take(board, decoder, message)
    board.done()
    while True:
        for message in follower.batch():
            _take(board, decoder, message)
        if follower.caught_up:
            for page in board.pages():
                pager.send(page)
            board.done()
            follower.commit()


def _take(board: Board, decoder: Decoder, message: Message) -> None:
    value = message.value()
    if value is None:
        return  # a mark of compaction
    try:
        board.take(decoder.decode(bytes(value)), _number(message.offset()))
    except (ValueError, KeyError, EOFError, IndexError, TypeError, requests.HTTPError) as error:
        # Somebody else's record must not keep people from being paged; holdtrue counts it (unreadable_records).
        print(f"a record that is none of ours is passed over: {type(error).__name__}", file=sys.stderr, flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Pages people while copies are in drift.")
    parser.add_argument("--topic", default="holdtrue.drift")
    parser.add_argument("--group", default="drift-pager")
    parser.add_argument("--webhook", help="where pages are posted; without it they are printed")
    parser.add_argument("--show-keys", action="store_true", help="name keys of rows in pages")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    follower = Follower(os.environ["HOLDTRUE_KAFKA"], asked.topic, asked.group)
    try:
        follow(follower, Decoder(os.environ["HOLDTRUE_REGISTRY"]), Board(asked.show_keys), Pager(asked.webhook))
    except KeyboardInterrupt:
        pass
    finally:
        follower.close()


if __name__ == "__main__":
    main()
