"""Writes for tests, made from canonical rows."""

from __future__ import annotations

from streams.plan.mapping import Shape
from streams.replicas.base import Write
from streams.rows.canonical import Row, encode
from streams.versions.entry import Token
from tests.support.shapes import key_of


def token(offset: int, refresh: int = 0, epoch: int = 1) -> Token:
    return Token(epoch, offset, refresh)


def put(shape: Shape, row: Row, mark: Token) -> Write:
    """The write of a live row."""
    return Write(key_of(shape, row), row, encode(row), mark)


def bury(key: bytes, mark: Token) -> Write:
    """The write of a tombstone."""
    return Write(key, None, b"", mark)
