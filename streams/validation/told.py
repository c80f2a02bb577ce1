"""What a run has told before it was interrupted: the drift topic itself says so."""

from __future__ import annotations

from streams.kafka.reading import between
from streams.kafka.registry import UnknownSchema
from streams.kafka.wire import Decoder, NotOurFormat
from streams.validation.open import Opener
from streams.validation.report import Report


def told_by(opener: Opener, report: Report, ends: list[int]) -> set[str]:
    """Ids of the drift that this run has told of, between its beginning and these ends of the drift topic."""
    topic, decoder = opener.plan.own_topic("drift"), Decoder("drift", opener.registry)
    begins = dict(enumerate(report.drift_before))
    told = set()
    for read in between(opener.bootstrap, topic, begins, dict(enumerate(ends))):
        told |= _of(decoder, read.value, report.run)
    return told


def _of(decoder: Decoder, value: bytes, run: str) -> set[str]:
    try:
        event = decoder.decode(value)
    except (NotOurFormat, UnknownSchema):
        return set()
    return {event["id"]} if event["run"] == run else set()
