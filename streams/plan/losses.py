"""What a mapping takes from a column's values on request: text in, text out, as a cast in Postgres would do it.

A value is given and returned in canonical text (rows.canonical). What is no such text stays as it is: the placeholder
of a value that was not sent, and what a stranger wrote, which the store judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

Word = Literal["round", "cut"]

# numeric has at most so many digits behind the point, a moment so many of a second, varchar so many characters.
DIGITS_MAX: Final = 16_383
MOMENT_DIGITS_MAX: Final = 6
CHARACTERS_MAX: Final = 10_485_760

_MOMENT: Final = re.compile(r"(\d{4,})(-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d+)(\+00)?( BC)?", re.ASCII).fullmatch
_TIME: Final = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d+)", re.ASCII).fullmatch
# Postgres counts from 2000 on, and rounds halves away from there.
_POSTGRES_YEAR: Final = 2000
# The calendar repeats itself every 400 years.
_CYCLE_YEARS: Final = 400
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Loss:
    """One column's: `of` gives what is stored instead of a text."""

    word: Word
    limit: int
    of: Callable[[str], str]

    def __str__(self) -> str:
        return f"{self.word}: {self.limit}"


def loss(word: Word, limit: int, type_name: str) -> Loss:
    """Of a column of this Postgres type. Raises ValueError with the reason where there is none."""
    found = _OF[word].get(type_name)
    if found is None:
        raise ValueError(_WHY_NOT.get((word, type_name), _ONLY[word]))
    if found is not rounded_number and word == "round" and limit > MOMENT_DIGITS_MAX:
        raise ValueError(f"it has at most {MOMENT_DIGITS_MAX} digits of a second")
    return Loss(word, limit, partial(found, limit))


def rounded_number(digits: int, text: str) -> str:
    """A numeric with so many digits behind the point, halves away from zero. NaN and infinities have none."""
    whole, _, behind = text.partition(".")
    if len(behind) <= digits:
        return text
    kept = whole + behind[:digits]
    if behind[digits] >= "5":
        kept = _next(kept)
    place = len(kept) - digits
    rounded = f"{kept[:place]}.{kept[place:]}".rstrip("0").rstrip(".")
    return "0" if rounded == "-0" else rounded


def rounded_moment(digits: int, text: str) -> str:
    """A timestamp, with or without time zone, with so many digits of a second. Infinities have none."""
    if "." not in text or (found := _MOMENT(text)) is None:
        return text
    year_text, rest, behind, zone, era = found.groups(default="")
    year = 1 - int(year_text) if era else int(year_text)
    kept, is_carried = _rounded_second(digits, behind, halves_up=year >= _POSTGRES_YEAR)
    if is_carried:
        try:
            year, rest = _second_after(year, rest)
        except ValueError:
            return text
    shown, era = (year, "") if year > 0 else (1 - year, " BC")
    return f"{shown:04}{rest}{kept}{zone}{era}"


def rounded_time(digits: int, text: str) -> str:
    """A time of day with so many digits of a second; the last one of a day may become 24:00:00."""
    if "." not in text or (found := _TIME(text)) is None:
        return text
    hour, minute, second, behind = found.groups()
    kept, is_carried = _rounded_second(digits, behind, halves_up=True)
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second) + is_carried
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{kept}"


def cut_text(characters: int, text: str) -> str:
    """The first so many characters."""
    return text[:characters]


def _rounded_second(digits: int, behind: str, *, halves_up: bool) -> tuple[str, bool]:
    """What stays of the digits behind a second's point, with the point, and whether a whole second comes of them."""
    rest = behind[digits:]
    goes_up = rest >= "5" if halves_up else rest.rstrip("0") > "5"
    kept = "0" + behind[:digits]
    if goes_up:
        kept = _next(kept)
    shown = kept[1:].rstrip("0")
    return f".{shown}" if shown else "", kept[0] == "1"


def _second_after(year: int, rest: str) -> tuple[int, str]:
    within = year % _CYCLE_YEARS + _CYCLE_YEARS
    after = datetime.fromisoformat(f"{within:04}{rest}") + _SECOND
    return year + after.year - within, f"{after:-%m-%d %H:%M:%S}"


def _next(digits: str) -> str:
    """The number after one in decimal digits, farther from zero where it has a sign."""
    head = digits.rstrip("9")
    zeros = "0" * (len(digits) - len(head))
    return f"{head[:-1]}{int(head[-1]) + 1}{zeros}" if head[-1:].isdecimal() else f"{head}1{zeros}"


_OF: Final[Mapping[Word, Mapping[str, Callable[[int, str], str]]]] = {
    "round": {
        "numeric": rounded_number,
        "timestamp": rounded_moment,
        "timestamptz": rounded_moment,
        "time": rounded_time,
    },
    "cut": dict.fromkeys(("text", "varchar"), cut_text),
}
_ONLY: Final[Mapping[Word, str]] = {
    "round": "only numeric, timestamp, timestamptz and time can be rounded",
    "cut": "only text and varchar can be cut",
}
_NO_DECIMALS: Final = "its digits are binary, and hardly any decimal fraction is a value of it"
_WHY_NOT: Final[Mapping[tuple[Word, str], str]] = {
    **dict.fromkeys((("round", "float4"), ("round", "float8")), _NO_DECIMALS),
    ("cut", "bpchar"): "it is padded to one length",
}
