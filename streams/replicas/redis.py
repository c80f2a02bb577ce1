"""The Redis replica: `GET account:1` gives readers the row as a JSON object; its token lies beside it.

One Lua call per few hundred keys compares the tokens and writes (redis_guard.lua). A deleted row's token stays for the
tombstone retention. docs/stores.md says what readers see and what eviction does to the promise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from streams.plan.mapping import Shape
from streams.replicas.base import APPLIED, Held, Outcome, Refused, Result, Write
from streams.replicas.foreign import foreign_row
from streams.replicas.redis_client import Client
from streams.replicas.redis_errors import configuring
from streams.replicas.redis_json import RowJson
from streams.replicas.redis_keys import RedisKeys, UnusableKey
from streams.replicas.redis_script import FORGET, GUARD, READ, STAMP, Script, call
from streams.versions.entry import Token

_BY_ORDER: Final = b"-"
_IS_TOKEN: Final = re.compile(rb"[0-9a-f]{32}").fullmatch


class RedisTable:
    """One table in one Redis database or cluster (the contract is `replicas.base.ReplicaTable`).

    template: key template over the SOT's key columns, None for `<table>:{key}:…`.
    tombstone_retention: how long a deleted row's token stays, at least the topic's retention and the longest pause.
    absent_allowed: a row may expire, so that one which will is what was written.
    client: from `redis_client.connect`; may serve several tables, and `close` closes it.
    """

    def __init__(
        self,
        shape: Shape,
        client: Client,
        *,
        template: str | None = None,
        tombstone_retention: timedelta,
        absent_allowed: bool = False,
    ) -> None:
        if tombstone_retention < timedelta(seconds=1):
            raise Refused("A Redis replica needs a tombstone retention of a second or more.", "Set it in the plan.")
        self.shape = shape
        self._client = client
        self.names = RedisKeys(shape, template)
        self.json = RowJson(shape.target_columns, [column.type for column in shape.source_columns])
        self._expiry_allowed = (b"allowed",) if absent_allowed else (b"",)
        self._retention = b"%d" % (tombstone_retention // timedelta(milliseconds=1))

    def prepare(self) -> None:
        """Check that the servers let us in and can be written to; Redis needs nothing created."""
        with configuring(self._client.where):
            self._client.servers.check((GUARD, READ))

    def apply(self, writes: Sequence[Write]) -> list[Result]:
        """Guarded writes; a key that cannot be a Redis key is refused alone."""
        return self._guarded(writes, _BY_ORDER)

    def overrule(self, key: bytes, expected: Token | None, write: Write) -> Result:
        """Write if the stored token is still `expected`; None is no token, or one that is not ours."""
        assert key == write.key
        return self._guarded([write], _hex(expected))[0]

    def stamp(self, writes: Sequence[Write]) -> list[Result]:
        """Tokens beside values that are these rows, and are still what was read when the server compares."""
        results = [Result(Outcome.conflict)] * len(writes)
        sent: list[int] = []
        words: list[tuple[bytes, bytes]] = []
        pairs = [self._pair(write.key) for write in writes]
        for number, value in self._values(pairs):
            if isinstance(value, bytes) and self.json.decode(value) == writes[number].row:
                sent.append(number)
                words.append((writes[number].token.encode().hex().encode(), value))
                results[number] = APPLIED
        stamped = [pair for number in sent if (pair := pairs[number]) is not None]
        for place, result in self._outcomes(STAMP, stamped, words):
            results[sent[place]] = result
        return results

    def drop_tokens(self) -> int:
        """The keys beside the values are removed."""
        servers = self._client.servers
        dropped = 0
        for found in servers.scan(self.names.token_glob, 1_000):
            # Another replica may keep the same table in the same place, under keys of its own.
            names = [name.decode() for name in found if self.names.is_token(name)]
            calls = [(len(group), *(names[number] for number in group)) for group in servers.groups(names)]
            dropped += sum(servers.run(FORGET, calls))
        return dropped

    def _pair(self, key: bytes) -> tuple[str, str] | None:
        """None: what could never be there."""
        try:
            return self.names.pair(key)
        except UnusableKey:
            return None

    def _values(self, pairs: Sequence[tuple[str, str] | None]) -> Iterator[tuple[int, object]]:
        """What the values' keys hold."""
        there = [number for number, pair in enumerate(pairs) if pair is not None]
        usable = [pair for pair in pairs if pair is not None]
        for group, answer in self._calls(READ, usable, before=self._expiry_allowed):
            for place, value in zip(group, answer[::2], strict=True):
                yield there[place], value

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
        self._client.close()

    def _guarded(self, writes: Sequence[Write], expected: bytes) -> list[Result]:
        results = [APPLIED] * len(writes)
        sent: list[int] = []
        pairs: list[tuple[str, str]] = []
        words: list[tuple[bytes, bytes]] = []
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
            pairs.append(pair)
            words.append((write.token.encode().hex().encode(), content))
        for place, result in self._outcomes(GUARD, pairs, words, (self._retention, expected)):
            results[sent[place]] = result
        return results

    def _outcomes(
        self,
        script: Script,
        pairs: Sequence[tuple[str, str]],
        words: Sequence[tuple[bytes, bytes]],
        before: tuple[bytes, ...] = (),
    ) -> Iterator[tuple[int, Result]]:
        """The answers of those that were not written, by the pair's number."""
        for group, answer in self._calls(script, pairs, words, before):
            for place, outcome, token in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
                stored = Token.decode(bytes.fromhex(token.decode())) if token else None
                yield group[place - 1], Result(Outcome(outcome.decode()), stored)

    def _calls(
        self,
        script: Script,
        pairs: Sequence[tuple[str, str]],
        words: Sequence[tuple[bytes, bytes]] = (),
        before: tuple[bytes, ...] = (),
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Run a script over all key pairs: the numbers of some of them, and the answer for these, together all."""
        servers = self._client.servers
        groups = servers.groups([name for name, _ in pairs])
        answers = servers.run(script, [call(group, pairs, words, before) for group in groups])
        return zip(groups, answers, strict=True)

    def _held(self, pairs: dict[bytes, tuple[str, str]]) -> Iterator[tuple[bytes, Held]]:
        found: list[Any] = [None] * len(pairs)
        for group, answer in self._calls(READ, list(pairs.values()), before=self._expiry_allowed):
            for number, value, token in zip(group, answer[::2], answer[1::2], strict=True):
                found[number] = (value, token)
        for key, (value, token) in zip(pairs, found, strict=True):
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
        for names in self._client.servers.scan(self.names.glob, chunk):
            for name in names:  # SCAN may give a key twice while the server grows or shrinks its table
                key = self.names.row_key(name)
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
