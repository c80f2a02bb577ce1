"""What a plan decides for each table of a replica: mode, freshness, conflicts, failures, checks, repairs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from streams.plan.base import NotBuilt, Part, Whole, or_nothing
from streams.plan.duration import Duration

Mode = Literal["replicate", "invalidate", "verify"]
Trigger = Literal["realtime", "scheduled", "on_demand"]
Failure = Literal["dead-letter", "hold"]
Continuity = Literal["continue", "hold"]
Depth = Literal["counts", "checksums", "sample", "full"]
DriftKind = Literal["missing", "orphan", "stale", "mismatch"]


class Eventual(Part):
    """The replica may be behind the SOT, by at most `lag`."""

    kind: Literal["eventual"]
    lag: Duration


class Strong(Part):
    """A reader can wait for a fence: what the SOT had committed at that moment has been applied."""

    kind: Literal["strong"]


Consistency = Annotated[Eventual | Strong, Field(discriminator="kind")]


class LastWriteWins(Part):
    """For replicas that others write too: of two rows, the one with the larger value in this column stays."""

    last_write_wins: Annotated[str, Field(min_length=1)]


def _conflict_form(value: Any) -> str:
    return "word" if isinstance(value, str) else "column"


Conflict = Annotated[
    Annotated[Literal["source_wins"], Tag("word")] | Annotated[LastWriteWins, Tag("column")],
    Discriminator(_conflict_form),
]


class Validation(Part):
    """Which checks run, and when. `sample` is the number of keys a `sample` run reads.

    pause_above: statements of others that run at the source at once, above which a run that reads row by row reads
    nothing; by default half of the server's max_connections.
    replica_log: have a replica's own log followed, which shows at once what others change there: of Postgres its
    replication log, of DynamoDB the streams of its tables.
    """

    depths: Annotated[tuple[Depth, ...], Field(min_length=1)]
    every: Duration
    sample: Whole | None = None
    scrub_period: Duration | None = None
    replica_log: bool = False
    pause_above: Whole | None = None
    thresholds: NotBuilt = None


class Repair(Part):
    """Which kinds of drift are repaired without being asked, and what bounds every repair."""

    automatic: tuple[DriftKind, ...]
    stop_above: Annotated[Whole, Field(description="Drifted keys above which a repair stops and asks.")] = 1000
    rows_per_second: Annotated[Whole, Field(le=1_000_000)] = 500


Strict = Annotated[bool, Field(strict=True)]


class Drift(Part):
    """What records of drift show of the data, and how many there may be.

    row_values: the rows of both sides, where both were read. hidden_keys: a key is shown as its HMAC only. flood_above:
    keys that one telling names; those beyond are counted, in one record of the table for each kind.
    """

    row_values: Strict = False
    hidden_keys: Strict = False
    flood_above: Annotated[Whole, Field(le=100_000)] = 1000


# What a plan without validation gets: counts, beside the lag that is always measured. `plan check` says so every time.
FILLED_IN_VALIDATION: Final = Validation(depths=("counts",), every=timedelta(hours=1))


class _Fillable:
    """In the file it may be empty, which is filled in."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return or_nothing(handler(schema))


def _all_optional(schema: dict[str, Any]) -> None:
    """In the file each of these may come from the replica's `defaults`, so an editor must not demand it in place."""
    schema.pop("required", None)


class Policies(Part):
    """The decisions for one table of a replica; in the file also the replica's `defaults`."""

    model_config = ConfigDict(json_schema_extra=_all_optional)

    mode: Mode
    trigger: Trigger
    windows: NotBuilt = None
    consistency: Consistency
    conflict: Conflict
    on_failure: Failure
    repair: Repair
    validation: Annotated[Validation, _Fillable()] = FILLED_IN_VALIDATION
    on_continuity: Continuity = "continue"
    drift: Annotated[Drift, _Fillable()] = Drift()

    @property
    def lag_max(self) -> timedelta | None:
        """The bound on how far behind the replica may be; None where consistency is strong."""
        return self.consistency.lag if isinstance(self.consistency, Eventual) else None

    @property
    def others_write(self) -> bool:
        """Whether what lies in the replica is somebody else's: another writer's, or filled in by an application."""
        return self.mode != "replicate"

    @property
    def readers_fill(self) -> bool:
        """Whether whoever misses a row fills it in: what is wrong is deleted, and no row is written."""
        return self.mode == "invalidate"

    @property
    def others_lag(self) -> timedelta:
        """How long after the source somebody else may write a row; who fills in what was read, by nothing."""
        return self.lag_max or timedelta(0) if self.mode == "verify" else timedelta(0)
