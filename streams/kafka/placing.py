"""Which partitions many keys are in, all at once: `murmur2` of `kafka.partitions`, by columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.changes.columns import Block
from streams.kafka.partitions import murmur2, of_hash

# Fewer keys than this, and longer ones, are hashed faster one by one.
MANY = 30
_LONG_BYTES = 400
_WORD_BYTES = 4
_M, _SEED = np.uint32(0x5BD1E995), np.uint32(0x9747B28C)
# What of a word is a key's, by how many of its bytes are.
_TAILS = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], np.uint32)

Words = NDArray[np.uint32]


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key, given as its record has it."""
    if len(keys) < MANY or max(map(len, keys)) > _LONG_BYTES:
        return [of_hash(murmur2(key), partitions) for key in keys]
    placed: list[int] = of_hash(_hashes(Block(keys)), partitions).tolist()
    return placed


def _hashes(block: Block) -> Words:
    # The longest first, so that those with one word more are the first ones in every round.
    order = np.argsort(block.starts - block.ends)
    starts, sizes = block.starts[order], (block.ends - block.starts)[order]
    whole = sizes // _WORD_BYTES
    hashes = _SEED ^ sizes.astype(np.uint32)
    for number, count in enumerate(_longer(whole)):
        _mix(hashes[:count], block.words(starts[:count] + number * _WORD_BYTES).astype(np.uint32))
    rest = block.words(starts + whole * _WORD_BYTES).astype(np.uint32) & _TAILS[sizes % _WORD_BYTES]
    found = np.empty_like(hashes)
    found[order] = _finished(np.where(sizes % _WORD_BYTES, (hashes ^ rest) * _M, hashes))
    return found


def _longer(whole: NDArray[np.int64]) -> list[int]:
    """How many have more words than 0, than 1, and so on; given from the most to the least."""
    counts: list[int] = np.searchsorted(-whole, -np.arange(whole[0])).tolist()
    return counts


def _mix(hashes: Words, words: Words) -> None:
    words *= _M
    words ^= words >> np.uint32(24)
    words *= _M
    hashes *= _M
    hashes ^= words


def _finished(hashes: Words) -> Words:
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _M
    return hashes ^ (hashes >> np.uint32(15))
