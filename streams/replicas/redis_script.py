"""The scripts that run inside Redis, and the calls that run them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from importlib.resources import files
from itertools import chain
from typing import Any, Final

from streams.replicas.redis_errors import unavailable

KEYS_PER_CALL: Final = 400  # 1,600 words for one MSET; Lua's unpack ends at 8,000, and others wait while a script runs
Call = tuple[Any, ...]  # number of keys, keys, arguments


class Script:
    """Lua files of this package, one after the other."""

    def __init__(self, *names: str) -> None:
        self.text = "".join(files("streams.replicas").joinpath(name).read_text() for name in names)
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


GUARD: Final = Script("redis_tokens.lua", "redis_guard.lua")
STAMP: Final = Script("redis_tokens.lua", "redis_stamp.lua")
FORGET: Final = Script("redis_forget.lua")
READ: Final = Script("redis_read.lua")


def call(
    group: Sequence[int],
    pairs: Sequence[tuple[str, str]],
    words: Sequence[tuple[bytes, bytes]] = (),
    before: tuple[bytes, ...] = (),
) -> Call:
    """The call for these of the key pairs, and of the words that belong to them."""
    keys = chain.from_iterable(pairs[number] for number in group)
    more = chain.from_iterable(words[number] for number in group) if words else ()
    return (2 * len(group), *keys, *before, *more)


def portions(numbers: Sequence[int]) -> Iterator[list[int]]:
    """As few portions as one call may take."""
    return (list(numbers[at : at + KEYS_PER_CALL]) for at in range(0, len(numbers), KEYS_PER_CALL))


def whole(where: str, answers: list[Any]) -> list[Any]:
    """The answers, if none of them is an error."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise unavailable(where, answer) from answer
    return answers
