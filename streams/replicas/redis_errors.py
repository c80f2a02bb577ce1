"""What a Redis error means for a worker: the store cannot serve now. Server texts may hold data, so none is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis import TimeoutError as NoAnswerInTime
from redis.exceptions import RedisError

from streams.errors import StoreUnavailable

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
    "MOVED": ("is a Redis Cluster, which is not built yet", "Use a Redis that is not clustered."),
    "CROSSSLOT": ("is a Redis Cluster, which is not built yet", "Use a Redis that is not clustered."),
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn every Redis error into StoreUnavailable; `where` is host:port, without user or password."""
    try:
        yield
    except RedisError as error:
        raise unavailable(where, error) from error
    except OSError as error:
        raise StoreUnavailable(f"Redis at {where} cannot be reached.", "Is it running?") from error


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
    "TryAgainError": "TRYAGAIN",
    "ClusterCrossSlotError": "CROSSSLOT",
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
