"""A run with all that came of it as one object, for programs."""

from __future__ import annotations

from typing import Any

from streams.control.dossier import Dossier
from streams.control.view import drift_row, plain


def as_record(found: Dossier) -> dict[str, Any]:
    """The fields of the interface document (`runs show`)."""
    (run,) = plain([found.run])
    repairs = [{name: value for name, value in row.items() if name != "repairs"} for row in plain(found.repairs)]
    entry, tail, mark = ([None, *plain([row] if row else [])][-1] for row in (found.entry, found.tail, found.mark))
    return {
        **run,
        "plan": found.plan,
        "drift_recorded": found.recorded,
        "drift_counts": plain(found.counts),
        "drift": [drift_row(row) for row in found.drift],
        "drift_ended": dict(found.ended),
        "repair_count": found.repair_count,
        "repairs": repairs,
        "holds": plain([hold._asdict() for hold in found.holds]),
        "mark": mark and {"position": mark["position"], "at": mark["at"]},
        "audit": {"entry": entry, "newest": tail},
        "sample_minutes": found.samples.minutes,
        "samples": plain(found.samples.rows),
    }
