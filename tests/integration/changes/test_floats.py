"""Floating point, as text: what the server prints is what we make of the same number."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random

import psycopg
import pytest

from streams.changes.values import float4, float8
from tests.integration.kafka.conftest import stack

__all__ = ["stack"]
pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("stack")]


def _single(value: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def _doubles(rng: Random) -> Iterator[float]:
    """Few digits, powers of two and what is near them, large integers, any bits: where texts lie midway."""
    yield from (float(f"{digits}e{exponent}") for digits in range(1, 100) for exponent in range(-320, 309, 3))
    yield from (float(f"{digits}e{exponent}") for digits in range(1, 1000) for exponent in range(13, 30))
    yield from (2.0**exponent for exponent in range(-1074, 1024))
    yield from (float(2**bits + step * 2 ** max(0, bits - 53)) for bits in range(50, 66) for step in range(-40, 40))
    yield from (struct.unpack("d", rng.randbytes(8))[0] for _ in range(10_000))
    yield from (1.7976931348623157e308, 5e-324, 0.0, -0.0, math.inf, -math.inf, -1e23)


def _singles(rng: Random) -> Iterator[float]:
    yield from (_single(float(f"{digits}e{exponent}")) for digits in range(1, 300) for exponent in range(-44, 36))
    yield from (2.0**exponent for exponent in range(-149, 128))
    yield from (_single(2**bits + step * 2 ** max(0, bits - 24)) for bits in range(18, 40) for step in range(-60, 60))
    yield from (struct.unpack("f", rng.randbytes(4))[0] for _ in range(10_000))
    yield from map(_single, (3.4028234663852886e38, 1e-45, 0.0, -0.0, math.inf, -math.inf, -9e9))


@pytest.mark.parametrize(
    ("type_name", "to_text", "numbers"), [("float8", float8, _doubles), ("float4", float4, _singles)]
)
def test_a_number_is_printed_as_postgres_does(
    type_name: str, to_text: Callable[[float], str], numbers: Callable[[Random], Iterator[float]]
) -> None:
    """The shortest text that is inside the interval of the number, never on its bound (1e23 has 16 digits)."""
    values = [value for value in numbers(Random(5)) if not math.isnan(value)]
    printed = _printed(values, type_name)
    wrong = [
        (value, to_text(value), text) for value, text in zip(values, printed, strict=True) if to_text(value) != text
    ]
    assert wrong == []


def _printed(values: Sequence[float], type_name: str) -> list[str]:
    array = "{" + ",".join(repr(value).replace("inf", "Infinity") for value in values) + "}"
    with psycopg.connect(os.environ["HOLDTRUE_SOT_DSN"]) as server:
        server.execute("SET extra_float_digits = 1")
        query = f"SELECT x::text FROM unnest(%s::{type_name}[]) WITH ORDINALITY u(x, n) ORDER BY n".encode()
        return [row[0] for row in server.execute(query, (array,))]
