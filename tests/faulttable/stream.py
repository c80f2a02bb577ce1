"""What happens to the stream, its workers and its commands: real records sent again or withheld, real kills."""

from __future__ import annotations

import io
import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import fastavro
import psycopg
import requests
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.bench import subject
from streams.kafka.groups import has_members
from tests.faulttable.layers import Layer
from tests.faulttable.scene import STEADY, Scene, wait_all
from tests.support.bank import PROGRAM, Bank
from tests.support.processes import stop_all
from tests.support.topic import Decoder, raw
from tests.support.wait import wait_until

# How long control may take to say that the stream is broken.
TOLD_SECONDS: Final = 60.0
GONE_SECONDS: Final = 90.0


def duplicated(scene: Scene, keys: Sequence[int]) -> None:
    """The newest record of each key, once more."""
    _send(scene, _changed(scene, keys, 2))


def reordered(scene: Scene, keys: Sequence[int]) -> None:
    """Two of each key, the newer one first."""
    first = _changed(scene, keys, 2)
    second = _changed(scene, keys, 3)
    _send(scene, [*second, *first])


def late_replay(scene: Scene, keys: Sequence[int]) -> None:
    """From the snapshot's read on."""
    newer = _changed(scene, keys, 2)
    _send(scene, [*_of(scene, scene.records, keys), *newer])


def forged(scene: Scene, keys: Sequence[int]) -> None:
    """With a position of now."""
    _send(scene, _changed(scene, keys, 2), _forge(scene))
    scene.caught_up()


def stale_repair(scene: Scene, keys: Sequence[int]) -> None:
    """Planned while the row was wrong, applied when a change has made it right."""
    for name in scene.replicas(STEADY):
        for key in keys:
            row = scene.hands[name].copy(key).row
            assert row is not None
            scene.hands[name].write(key, {**row, "status": "rogue"})
    scene.validate(Layer.full)
    file = scene.bank.folder / "stale.json"
    scene.run("repair", "plan", "--file", str(file))
    scene.change(keys, 2)
    scene.caught_up(scene.replicas(STEADY))
    if json.loads(file.read_text())["items"]:
        scene.run("repair", "apply", str(file), "--reason", "the fault table", "--above-threshold")


def partial_batch(scene: Scene, keys: Sequence[int]) -> None:
    """The worker of each steady replica dies with a batch in the store that it does not know of."""
    names = _stop(scene)
    doomed = [scene.bank.worker(name, HOLDTRUE_CRASH_AT="store-written:2") for name in names]
    scene.change(keys, 2)
    assert {worker.wait_end() for worker in doomed} == {-signal.SIGKILL}
    _start(scene, names)


def offsets_set_back(scene: Scene, keys: Sequence[int]) -> None:
    """To the first record."""
    _with_offsets(scene, keys, ahead=False)


def offsets_set_ahead(scene: Scene, keys: Sequence[int]) -> None:
    """To the end, over what was committed while no worker ran."""
    _with_offsets(scene, keys, ahead=True)


def checker_crash(scene: Scene, keys: Sequence[int]) -> None:
    """Killed once it has asked the owners; what it would have found is there for the next."""
    for hands in scene.hands.values():
        for key in keys:
            row = hands.copy(key).row
            if row is not None:
                hands.write(key, {**row, "status": "rogue"})
    before = _requests(scene)
    env = {**scene.bank.env, "HOLDTRUE_PLAN": str(scene.steady_plan)}
    words = (PROGRAM, "--quiet", "validate", "--depth", "full")
    with (scene.bank.folder / "killed.log").open("ab") as log:
        run = subprocess.Popen(words, env=env, stdout=log, stderr=log, cwd=scene.bank.folder)
    wait_until(lambda: _requests(scene) > before or run.poll() is not None, "the run to ask the owners")
    run.kill()
    assert run.wait() == -signal.SIGKILL, "the run was over before it was killed"


def lost_update(scene: Scene, keys: Sequence[int]) -> None:
    """Committed while the table was not published."""
    with _unpublished(scene):
        scene.change(keys, 2)


def lost_insert(scene: Scene, keys: Sequence[int]) -> None:
    """The same; each row is that of the key that the new one is called after."""
    copied = (
        "INSERT INTO {0} SELECT (jsonb_populate_record(t, jsonb_build_object('id', -t.id))).* FROM {0} t "
        "WHERE t.id = ANY(%s)"
    )
    with _unpublished(scene):
        query: Any = copied.format(subject.TABLE)
        done = scene.bank.sot.execute(query, ([-key for key in keys],))
        assert done.rowcount == len(keys)


def lost_delete(scene: Scene, keys: Sequence[int]) -> None:
    """The same."""
    with _unpublished(scene):
        subject.delete(scene.bank.sot, list(keys))


def slot_gap(scene: Scene, keys: Sequence[int]) -> None:
    """The connector refuses a slot that is ahead of it; begun anew, it does not know what was deleted meanwhile."""
    bank, known = scene.bank, len(_broken(scene))
    with scene.load.paused():
        scene.caught_up()
        _tell_the_connector(scene, "stop")
        free = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        wait_until(lambda: bank.sot.execute(free, [bank.slot]).fetchone() is not None, "the slot to be left")
        subject.delete(bank.sot, list(keys))
        bank.sot.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [bank.slot])
        _tell_the_connector(scene, "resume")
        wait_all(lambda: len(_broken(scene)) > known, TOLD_SECONDS)
        bank.done("connectors", "delete", "--forget", "--yes")
        bank.done("connectors", "apply")
        scene.caught_up()


def _broken(scene: Scene) -> list[object]:
    return [each for each in scene.watch.told() if each.kind == "continuity" and each.state == "open"]


def _tell_the_connector(scene: Scene, word: str) -> None:
    connector = f"{scene.bank.env['HOLDTRUE_CONNECT']}/connectors/holdtrue-{scene.bank.name}"
    assert requests.put(f"{connector}/{word}", timeout=20).ok


@contextmanager
def _unpublished(scene: Scene) -> Iterator[None]:
    """Inside, the table is not in the publication, and nothing else is written; shorter than control's looks."""
    sot: psycopg.Connection[Any] = scene.bank.sot
    query = "SELECT pubname FROM pg_publication_tables WHERE schemaname = %s AND tablename = %s"
    row = sot.execute(query, (subject.SCHEMA, subject.NAME)).fetchone()
    assert row is not None
    alter = f'ALTER PUBLICATION "{row[0]}" {{}} TABLE {subject.TABLE}'
    with scene.load.paused():
        sot.execute(alter.format("DROP"))  # type: ignore[call-overload]
        try:
            yield
        finally:
            sot.execute(alter.format("ADD"))  # type: ignore[call-overload]


def _changed(scene: Scene, keys: Sequence[int], revision: int) -> list[Any]:
    """Change these keys in the source; the records of it."""
    since = scene.bank.ends(subject.TABLE)
    scene.change(keys, revision)
    scene.bank.wait_published()
    return _of(scene, raw(scene.bank.consumer(), scene.bank.topic(subject.TABLE), since), keys)


def _of(scene: Scene, records: Sequence[Any], keys: Sequence[int]) -> list[Any]:
    decoder = Decoder(scene.bank.env["HOLDTRUE_REGISTRY"])
    return [each for each in records if decoder.decoded(each.key())[subject.KEY] in keys]


def _send(scene: Scene, records: Sequence[Any], made: Any = None) -> None:
    """These records, as they are, or as they were made, once more."""
    assert records, "there are no records of these keys"
    producer = Producer({"bootstrap.servers": scene.bank.env["HOLDTRUE_KAFKA"], "log_level": 0})
    for each in records:
        value = made(each.value()) if made else each.value()
        producer.produce(each.topic(), value, each.key(), each.partition(), headers=each.headers())
    assert producer.flush(20) == 0


def _forge(scene: Scene) -> Any:
    """What makes of a record another one: another status, at the position where the log is now."""
    row = scene.bank.sot.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").fetchone()
    assert row is not None
    position = int(row[0])

    def made(value: bytes) -> bytes:
        schema = _schema(scene, value)
        record: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        record["after"]["status"] = "forged"
        record["source"]["lsn"] = position
        written = io.BytesIO()
        fastavro.schemaless_writer(written, schema, record)
        return value[:5] + written.getvalue()

    return made


def _schema(scene: Scene, framed: bytes) -> Any:
    number = int.from_bytes(framed[1:5], "big")
    answer = requests.get(f"{scene.bank.env['HOLDTRUE_REGISTRY']}/schemas/ids/{number}", timeout=10).json()
    return fastavro.parse_schema(json.loads(answer["schema"]))


def _requests(scene: Scene) -> int:
    """How many requests the owners of the steady replicas were sent."""
    bank = scene.bank
    names = [bank.own_topic(f"checks.{name}.{subject.TABLE}") for name in scene.replicas(STEADY)]
    places = [TopicPartition(name, number) for name in names for number in range(2)]
    return sum(bank.consumer().get_watermark_offsets(place, timeout=10)[1] for place in places)


def _with_offsets(scene: Scene, keys: Sequence[int], *, ahead: bool) -> None:
    bank, names = scene.bank, _stop(scene)
    for name in names:
        wait_until(partial(_is_empty, bank, bank.group(name)), "the workers to be given up", GONE_SECONDS)
    scene.change(keys, 2)
    bank.wait_published()
    places = [TopicPartition(*place, end if ahead else 0) for place, end in bank.ends(subject.TABLE).items()]
    admin = AdminClient({"bootstrap.servers": bank.env["HOLDTRUE_KAFKA"], "log_level": 0})
    for name in names:
        asked = [ConsumerGroupTopicPartitions(bank.group(name), places)]
        for future in admin.alter_consumer_group_offsets(asked).values():
            future.result(20)
    _start(scene, names)


def _stop(scene: Scene) -> list[str]:
    """End the workers of the steady replicas; the replicas."""
    names = scene.replicas(STEADY)
    ended = stop_all([scene.workers[name] for name in names])
    assert not any(ended), f"workers ended with {ended}"
    return names


def _start(scene: Scene, names: Sequence[str]) -> None:
    """Others in their place, which have caught up."""
    scene.workers.update({name: scene.bank.worker(name) for name in names})
    scene.caught_up(names)


def _is_empty(bank: Bank, group: str) -> bool:
    return not has_members(bank.env["HOLDTRUE_KAFKA"], group, 0)
