"""The Redis replica: `GET account:1` gives readers the row as a JSON object; its token lies beside it.

One Lua call per few hundred keys compares the tokens and writes (redis_guard.lua). A deleted row's token stays for the
tombstone retention. docs/stores.md says what readers see and what eviction does to the promise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha1
from importlib.resources import files
from itertools import islice
from typing import Any, Final, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from streams.errors import StoreUnavailable
from streams.plan.mapping import Shape
from streams.replicas.base import APPLIED, Held, Outcome, Refused, Result, Write
from streams.replicas.foreign import foreign_row
from streams.replicas.redis_errors import code, translated, unavailable
from streams.replicas.redis_json import RowJson
from streams.replicas.redis_keys import RedisKeys, UnusableKey
from streams.versions.entry import Token

KEYS_PER_CALL: Final = 400  # 1,600 words for one MSET; Lua's unpack ends at 8,000, and others wait while a script runs
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
_CONNECTIONS_MAX: Final = 8
_BY_ORDER: Final = b"-"
_IS_TOKEN: Final = re.compile(rb"[0-9a-f]{32}").fullmatch
# A socket's path is a file; of a server's address it can only be the number of a database.
_NUMBERED: Final = re.compile(r"unix://.*|rediss?://[^/?]*(/\d{0,5})?(\?.*)?").fullmatch
_SETUP: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "MOVED", "CROSSSLOT"})


class _Script:
    def __init__(self, file: str) -> None:
        self.text = files("streams.replicas").joinpath(file).read_text()
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_GUARD = _Script("redis_guard.lua")
_READ = _Script("redis_read.lua")


def connect(url: str) -> redis.Redis:
    """A client with bounded connections and waits that never sends anything twice; opens nothing yet."""
    try:
        if not _NUMBERED(url):
            raise ValueError("redis-py would take a database that is no number for 0")
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS_MAX,
            timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
        )
        # Options it does not know are refused when the first connection is made, and that opens nothing.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, RedisError):
        # Its message may quote the password.
        raise Refused(
            "The URL of the Redis replica cannot be read.",
            "Write redis://[user:password@]host:port/0, with no options but redis-py's.",
        ) from None
    return redis.Redis(connection_pool=pool)


def ping(url: str) -> None:
    """Ask for a sign of life. Raises Refused for an unreadable URL and StoreUnavailable, neither with the URL in it."""
    client = connect(url)
    with client, translated(_address(client)):
        client.ping()


class RedisTable:
    """One table in one Redis database (the contract is `replicas.base.ReplicaTable`).

    template: key template over the SOT's key columns, None for `<table>:{key}:…`.
    tombstone_retention: how long a deleted row's token stays, at least the topic's retention and the longest pause.
    client: from `connect`; may serve several tables, and `close` closes it.
    """

    def __init__(
        self, shape: Shape, client: redis.Redis, *, template: str | None = None, tombstone_retention: timedelta
    ) -> None:
        if tombstone_retention < timedelta(seconds=1):
            raise Refused("A Redis replica needs a tombstone retention of a second or more.", "Set it in the plan.")
        self.shape = shape
        self._client = client
        self._where = _address(client)
        self.names = RedisKeys(shape, template)
        self.json = RowJson(shape.target_columns, [column.type for column in shape.source_columns])
        self._retention = b"%d" % (tombstone_retention // timedelta(milliseconds=1))

    def prepare(self) -> None:
        """Check that the server lets us in and is one we can write to; Redis needs nothing created."""
        try:
            with translated(self._where):
                clustered = self._client.info("cluster").get("cluster_enabled")
                for script in (_GUARD, _READ):
                    self._client.script_load(script.text)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, RedisError) and code(error.__cause__) in _SETUP:
                raise Refused(error.what, error.hint) from error
            raise
        if clustered:
            raise Refused(f"Redis at {self._where} is a cluster, which is not built yet.", "Use one that is not.")

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes; a key that cannot be a Redis key is refused alone."""
        return self._guarded(writes, _BY_ORDER)

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write if the stored token is still `expected`; None is no token, or one that is not ours."""
        assert key == write.key
        return self._guarded([write], _hex(expected))[0]

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Held]:
        """Content of the given keys, each value together with its token."""
        pairs = {}
        for key in keys:
            with suppress(UnusableKey):  # never written, so the store knows nothing of it
                pairs[key] = self.names.pair(key)
        return dict(self._held(pairs))

    def scan(self, chunk: int) -> Iterator[list[tuple[bytes, Held]]]:
        """All live rows, each once. Remembers the keys it gave (about 100 bytes each) until it ends."""
        gathered: dict[bytes, tuple[str, str]] = {}
        for key in self._scan_keys(chunk):
            gathered[key] = self.names.pair(key)
            if len(gathered) >= chunk:
                yield from self._live(gathered)
                gathered = {}
        if gathered:
            yield from self._live(gathered)

    def keys(self, chunk: int) -> Iterator[list[bytes]]:
        """Keys of live rows as SCAN lists them, each once; remembers them until it ends."""
        keys = self._scan_keys(chunk)
        while listed := list(islice(keys, chunk)):
            yield listed

    def count(self) -> int:
        """Number of keys of this table, exact when nobody writes meanwhile."""
        return sum(1 for _ in self._scan_keys(10_000))

    def forget_tombstones(self, older_than: timedelta) -> int:
        """Redis expires tombstones by itself."""
        return 0

    def close(self) -> None:
        """Give back the client's connections."""
        with suppress(RedisError, OSError):
            self._client.close()

    def _guarded(self, writes: Sequence[Write], expected: bytes) -> list[Result]:
        results = [APPLIED] * len(writes)
        sent: list[int] = []
        names: list[str] = []
        words: list[bytes] = []
        for number, write in enumerate(writes):
            try:
                pair = self.names.pair(write.key)
                content = b"" if write.row is None else self.json.encode(write.row)
            except UnusableKey as reason:
                if write.row is not None:  # what could never be there is gone already
                    results[number] = Result(Outcome.refused, None, f"This row cannot be held by Redis: {reason}.")
                continue
            except (ValueError, KeyError):
                results[number] = Result(Outcome.refused, None, "A value is not of the type its column had.")
                continue
            sent.append(number)
            names += pair
            words += (write.token.encode().hex().encode(), content)
        for first, answer in self._calls(_GUARD, names, words, (self._retention, expected)):
            for place, outcome, token in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
                stored = Token.decode(bytes.fromhex(token.decode())) if token else None
                results[sent[first + place - 1]] = Result(Outcome(outcome.decode()), stored)
        return results

    def _calls(
        self, script: _Script, names: list[str], words: Sequence[bytes] = (), before: Sequence[bytes] = ()
    ) -> Iterator[tuple[int, list[Any]]]:
        """Run a script over all key pairs, a few hundred a call, in one round trip: (first pair, answer) each."""
        step = 2 * KEYS_PER_CALL
        calls = []
        for at in range(0, len(names), step):
            keys = names[at : at + step]
            calls.append((script.sha, len(keys), *keys, *before, *words[at : at + step]))
        with translated(self._where):
            answers = self._pipelined(script, calls)
        return ((number * KEYS_PER_CALL, answer) for number, answer in enumerate(answers))

    def _pipelined(self, script: _Script, calls: list[tuple[Any, ...]]) -> list[Any]:
        answers = self._send(calls)
        forgotten = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if forgotten:  # the server was restarted, or its script cache flushed: tell it again, and only once
            self._client.script_load(script.text)
            for number, answer in zip(forgotten, self._send([calls[number] for number in forgotten]), strict=True):
                answers[number] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise unavailable(self._where, answer) from answer
        return answers

    def _send(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        if not calls:
            return []
        with self._client.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.evalsha(*call)
            return pipeline.execute(raise_on_error=False)

    def _held(self, pairs: dict[bytes, tuple[str, str]]) -> Iterator[tuple[bytes, Held]]:
        names = [name for pair in pairs.values() for name in pair]
        found = [item for _, answer in self._calls(_READ, names) for item in answer]
        for key, value, token in zip(pairs, found[::2], found[1::2], strict=True):
            held = Held(_token(token), None if value is None else self._row(value))
            if held != (None, None):
                yield key, held

    def _row(self, value: bytes | list[bytes]) -> tuple[str | None, ...]:
        if isinstance(value, bytes):
            return self.json.decode(value)
        return foreign_row("a string that stays", b" ".join(value), len(self.shape.target_columns))

    def _live(self, pairs: dict[bytes, tuple[str, str]]) -> Iterator[list[tuple[bytes, Held]]]:
        rows = [(key, held) for key, held in self._held(pairs) if held.row is not None]
        if rows:
            yield rows

    def _scan_keys(self, chunk: int) -> Iterator[bytes]:
        given: set[bytes] = set()
        cursor: int | None = None
        while cursor != 0:
            with translated(self._where):
                cursor, names = self._client.scan(cursor or 0, match=self.names.glob, count=chunk)
            for name in names:  # SCAN may give a key twice while the server grows or shrinks its table
                key = self.names.row_key(cast(bytes, name))
                if key is not None and key not in given:
                    given.add(key)
                    yield key


def _hex(token: Token | None) -> bytes:
    return b"" if token is None else token.encode().hex().encode()


def _token(found: bytes | list[bytes] | None) -> Token | None:
    """The token in its key; content we did not write there counts as none, as it does for the guard."""
    if not isinstance(found, bytes) or not _IS_TOKEN(found):
        return None
    return Token.decode(bytes.fromhex(found.decode()))


def _address(client: redis.Redis) -> str:
    known = client.connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}")
