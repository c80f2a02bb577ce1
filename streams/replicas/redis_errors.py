"""What a Redis error means for a worker: the store cannot serve now. Server texts may hold data, so none is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from redis import TimeoutError as NoAnswerInTime
from redis.exceptions import RedisClusterException, RedisError

from streams.errors import StoreUnavailable
from streams.replicas.base import Refused, Unwelcome

_REASONS = {
    "OOM": ("is out of memory", "Raise maxmemory or free some; writes go on by themselves."),
    "READONLY": ("is a read-only replica", "Point the URL at the primary; after a failover this may pass by itself."),
    "LOADING": ("is still loading its data", "It will serve when that is done."),
    "MISCONF": ("refuses writes because it cannot save to disk", "Look at its log and disk, or its save settings."),
    "NOREPLICAS": ("refuses writes because it has too few replicas", "Look at min-replicas-to-write."),
    "MASTERDOWN": ("has lost its primary", "Wait for the failover or look at the primary."),
    "BUSY": ("is busy with a script", "Look at SLOWLOG; SCRIPT KILL ends the script."),
    "TRYAGAIN": ("is moving a slot", "It will serve when that is done."),
    "NOAUTH": ("asks for a password", "Put user and password into the URL."),
    "WRONGPASS": ("refused the user or password", "Correct them in the URL."),
    "NOPERM": (
        "does not allow this user what is needed",
        "Allow GET, MGET, SET, MSET, UNLINK, TYPE, PTTL, SCAN, EVALSHA.",
    ),
    "MOVED": ("moves slots faster than it can be asked", "It will serve when that is done. If it has only now become "
              "a cluster, start the worker again."),
    "ASK": ("is moving a slot", "It will serve when that is done."),
    "CLUSTERDOWN": ("is a cluster that does not serve all slots", "Look at CLUSTER INFO and CLUSTER NODES."),
    "SELECT": ("is a cluster, which has no database but 0", "End the URL in /0."),
}  # fmt: skip
_UNWELCOME = frozenset({"NOAUTH", "WRONGPASS", "SELECT"})


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn every Redis error into StoreUnavailable; `where` is host:port, without user or password."""
    try:
        yield
    except (RedisError, RedisClusterException) as error:
        told = _of_a_node(error)
        raise unavailable(where, told) from told
    except OSError as error:
        raise StoreUnavailable(f"Redis at {where} cannot be reached.", "Is it running?") from error


def _of_a_node(error: BaseException) -> Exception:
    """Of a cluster none of whose nodes could be asked, what the last of them answered says more."""
    inner: BaseException | None = error
    while isinstance(inner, RedisClusterException):
        inner = inner.__cause__ or inner.__context__
    return inner if isinstance(inner, RedisError) else cast(Exception, error)


@contextmanager
def configuring(where: str) -> Iterator[None]:
    """`translated`, but what waiting cannot mend is Refused: a permission; Unwelcome: a password, another database."""
    try:
        with translated(where):
            yield
    except StoreUnavailable as error:
        said = code(error.__cause__) if isinstance(error.__cause__, RedisError) else ""
        if said in _UNWELCOME:
            raise Unwelcome(error.what, error.hint) from error
        if said == "NOPERM":
            raise Refused(error.what, error.hint) from error
        raise


def unavailable(where: str, error: Exception) -> StoreUnavailable:
    """The sentence for one error."""
    what, hint = _reason(error)
    return StoreUnavailable(f"Redis at {where} {what}.", hint)


def _reason(error: Exception) -> tuple[str, str]:
    known = _REASONS.get(code(error))
    if known:
        return known
    if isinstance(error, NoAnswerInTime):
        return "did not answer in time", "Is it overloaded, or the network down?"
    return "cannot be reached or answered with an error", f"Is it running? ({type(error).__name__})"


_BY_CLASS = {
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "BusyLoadingError": "LOADING",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "RedisClusterException": "CLUSTERDOWN",
    "SlotNotCoveredError": "CLUSTERDOWN",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
}


# Redis 6 wraps what went wrong inside a script: "ERR Error running script (…): @user_script:67: -OOM command …".
_INSIDE_SCRIPT = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ").search


def code(error: Exception) -> str:
    """The word a Redis error begins with; the client strips it from those it has a class for."""
    inside = _INSIDE_SCRIPT(str(error))
    if inside:
        return inside.group(1)
    return _BY_CLASS.get(type(error).__name__) or str(error).partition(" ")[0]
