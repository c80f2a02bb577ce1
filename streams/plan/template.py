"""Key templates of Redis replicas: from a row's key to the name of its hash, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_GLOB: Final = re.compile(r"([*?\[\]\\^-])")


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """`literals` around `columns`: one more literal than columns.

    Two keys never get one name. With several columns, a character of a value that also occurs in a literal between
    columns is percent-encoded (and `%` itself); a single column's value is used as it is.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, template: str) -> Self:
        """The template in `template`, such as `account:{aid}`. Raises ValueError with a sentence."""
        parts = _PLACEHOLDER.split(template)
        parsed = cls(tuple(parts[0::2]), tuple(parts[1::2]))
        parsed._demand_unambiguous()
        return parsed

    @property
    def prefix(self) -> str:
        """The text every name begins with."""
        return self.literals[0]

    def misses(self, key: Sequence[str]) -> tuple[str, ...]:
        """The key columns the template does not name."""
        return tuple(column for column in key if column not in self.columns)

    def name(self, key_columns: Sequence[str], key: Sequence[str]) -> str:
        """The name of the row with this key; `key` holds canonical text in the order of `key_columns`."""
        values = dict(zip(key_columns, key, strict=True))
        pieces = [self.literals[0]]
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            pieces += (self._encoded(values[column]), literal)
        return "".join(pieces)

    def key(self, key_columns: Sequence[str], name: str) -> tuple[str, ...] | None:
        """The key whose row has this name; None when the name is not of this template."""
        match = re.fullmatch(self._pattern(), name, re.DOTALL)
        if match is None:
            return None
        values = dict(zip(self.columns, map(self._decoded, match.groups()), strict=True))
        return tuple(values[column] for column in key_columns)

    def glob(self) -> str:
        """A pattern for SCAN that matches every name of this template (and perhaps others)."""
        return "*".join(glob_of(literal) for literal in self.literals)

    def _separators(self) -> str:
        return "".join(self.literals[1:-1])

    def _encoded(self, value: str) -> str:
        if len(self.columns) == 1:
            return value
        escaped = {"%", *self._separators()}
        return "".join(f"%{ord(char):02X}" if char in escaped else char for char in value)

    def _decoded(self, value: str) -> str:
        return value if len(self.columns) == 1 else unquote(value)

    def _pattern(self) -> str:
        inner = f"([^{re.escape(self._separators())}]*)" if len(self.columns) > 1 else "(.*)"
        return inner.join(re.escape(literal) for literal in self.literals)

    def _demand_unambiguous(self) -> None:
        if not self.columns:
            raise ValueError("names no column: a key template needs every key column, such as account:{aid}")
        if any("{" in literal or "}" in literal for literal in self.literals):
            raise ValueError("has a brace without its partner")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("names a column twice")
        if any(not _separates(literal) for literal in self.literals[1:-1]):
            raise ValueError("needs punctuation such as : between two columns, else two keys could get one name")


def _separates(literal: str) -> bool:
    # Letters, digits and % occur in percent-encoded values themselves.
    return bool(literal) and all(" " <= char <= "~" and not char.isalnum() and char != "%" for char in literal)


def glob_of(text: str) -> str:
    """A pattern for SCAN that this text alone matches."""
    return _GLOB.sub(r"\\\1", text)
