"""What an owner can be asked."""

from __future__ import annotations

from enum import StrEnum


class Depth(StrEnum):
    """Kinds of check requests, as the `depth` of a request names them.

    counts: how many live rows the partition must hold. checksums: compare the named keys, and all between the bounds,
    with the SOT's digests and the replica's content. sweep: the replica holds these keys; which must it not hold.
    watch: keep every digest these keys have from now on. release: the run is over, forget its watch. truncate: rows of
    records before `o2` may be gone from the SOT; look them up, and let nothing be compared before that is done.
    """

    counts = "counts"
    checksums = "checksums"
    sweep = "sweep"
    watch = "watch"
    release = "release"
    truncate = "truncate"
