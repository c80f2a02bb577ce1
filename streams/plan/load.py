"""Reads a plan file as plain data with the line of every value; nothing in it is executed or expanded without bound."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from streams.errors import UsageError
from streams.plan.text import quoted

# A plan for a thousand tables is well under a tenth of this.
FILE_BYTES_MAX: Final = 2 * 1024 * 1024
# Aliases are counted once for each place they are used at, so that a small file cannot unfold into a huge plan.
NODES_MAX: Final = 200_000
DEPTH_MAX: Final = 32
_IS_PLAN: Final = "Does --plan name the plan? docs/plan.md shows one."
_CORRECT: Final = "Correct the file and check it again: holdtrue plan check"

Path_ = tuple[str | int, ...]


class UnreadablePlanError(UsageError):
    """The plan file is missing, too large or not YAML; the sentence names line and column where there is one."""


@dataclass(frozen=True, slots=True)
class Document:
    """A plan file as plain data, and the line (from 1) at which each path in it starts.

    sha256: of the file's bytes, as `sha256sum` prints it; empty where there was no file.
    """

    data: Any
    lines: Mapping[Path_, int]
    sha256: str = ""

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest part above it that is in the file."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 1)


def read_document(path: Path) -> Document:
    """The data in the YAML file at `path`. Raises UnreadablePlanError."""
    raw = _bytes(path)
    return replace(parse_document(_text(raw, path), str(path)), sha256=sha256(raw).hexdigest())


def parse_document(text: str, name: str) -> Document:
    """The data in YAML `text`; `name` is what errors call it. Raises UnreadablePlanError."""
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise _malformed(error, name) from None
    except RecursionError:
        raise UnreadablePlanError(f"{name} is nested too deeply to be a plan.", _IS_PLAN) from None
    if len(nodes) != 1 or nodes[0] is None:
        problem = "is empty" if not nodes or nodes[0] is None else "holds more than one document"
        raise UnreadablePlanError(f"{name} {problem}.", "A plan is one YAML document; docs/plan.md shows one.")
    if not isinstance(nodes[0], yaml.MappingNode):
        raise UnreadablePlanError(
            f"{name} does not hold fields and their values.",
            "A plan begins with `holdtrue: 1`; docs/plan.md shows one.",
        )
    return _Builder(name).document(nodes[0])


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = "Name the plan with --plan PATH or HOLDTRUE_PLAN."
        raise UnreadablePlanError(f"The plan {path} cannot be read: {error.strerror}.", hint) from None
    if len(raw) > FILE_BYTES_MAX:
        raise UnreadablePlanError(f"{path} is larger than {FILE_BYTES_MAX // 1024} KiB, which no plan needs.", _IS_PLAN)
    return raw


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadablePlanError(f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from None


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of a scalar: `on` and `no` are text, `1:30` is no number, `=` is an operator, dates stay text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012 - PyYAML's own class-level table


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]{1,40}$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40}|[0-9]{1,40}(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])

_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:int": int,
    # Exact, so that a filter value such as 0.1 is what was written.
    "tag:yaml.org,2002:float": Decimal,
}
_TAGS: Final = {*_SCALARS, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_MERGE: Final = "tag:yaml.org,2002:merge"


class _Builder:
    """Turns YAML nodes into data, noting lines and refusing duplicate keys, odd tags and unbounded aliases."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[Path_, int] = {}
        self._nodes = 0
        self._merging = 0

    def document(self, root: yaml.Node) -> Document:
        return Document(self._build(root, ()), self._lines)

    def _build(self, node: yaml.Node, path: Path_) -> Any:
        self._count(node, path)
        self._lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            raise self._error(node, f"has the tag {quoted(node.tag)}, which a plan does not use")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _count(self, node: yaml.Node, path: Path_) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            raise self._error(node, "unfolds into more than a plan can hold (aliases within aliases?)")

    def _scalar(self, node: yaml.Node) -> Any:
        self._encodable(node)
        try:
            return _SCALARS[node.tag](node.value)
        except (KeyError, ValueError, InvalidOperation):
            raise self._error(node, "has a value that does not fit its tag") from None

    def _encodable(self, node: yaml.Node) -> None:
        # "\0" and lone surrogates can be written as YAML escapes, but no store and no log can hold them.
        if "\0" in node.value or any("\ud800" <= char <= "\udfff" for char in node.value):
            raise self._error(node, "holds a character that is not text")

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        own: dict[str, Any] = {}
        for key_node, value_node in self._own(node):
            key = self._key(key_node)
            if key in own:
                raise self._error(key_node, f"has the key {quoted(key)} a second time")
            self._lines.setdefault((*path, key), key_node.start_mark.line + 1)
            own[key] = self._build(value_node, (*path, key))
        return {**self._merged(node, path), **own}

    def _own(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        return ((key, value) for key, value in node.value if key.tag != _MERGE)

    def _merged(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        """What `<<: *alias` brings in; the mapping's own keys win, the first of several merges wins."""
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else (value,):
                    found = {**self._merge_source(source, path), **found}
        return found

    def _merge_source(self, node: yaml.Node, path: Path_) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "merges (<<) something that is not a mapping")
        self._count(node, path)
        self._merging += 1
        if self._merging > DEPTH_MAX:
            raise self._error(node, "merges (<<) itself, or is nested too deeply")
        found = self._mapping(node, path)
        self._merging -= 1
        return found

    def _key(self, node: yaml.Node) -> str:
        key: Hashable = node.value if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise self._error(node, "has a key that is not text")
        self._encodable(node)
        return key

    def _error(self, node: yaml.Node, problem: str) -> UnreadablePlanError:
        mark = node.start_mark
        where = f"{self._name}, line {mark.line + 1}, column {mark.column + 1}"
        return UnreadablePlanError(f"{where}: {problem}.", _CORRECT)


def _malformed(error: yaml.YAMLError, name: str) -> UnreadablePlanError:
    """One sentence. PyYAML's own text is not repeated where it would quote the file."""
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    problem = getattr(error, "problem", None) or "a character that YAML does not allow"
    return UnreadablePlanError(f"{name}{where}: not valid YAML: {problem}.", _CORRECT)
