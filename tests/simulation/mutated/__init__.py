"""The mutants: what each weakens, how, and the named test that notices."""

from __future__ import annotations

from tests.simulation.mutated.backfills import BACKFILLS
from tests.simulation.mutated.breaks import BREAKS
from tests.simulation.mutated.guard import THE_GUARD
from tests.simulation.mutated.holds import HOLDS
from tests.simulation.mutated.ordering import ORDERING
from tests.simulation.mutated.others import OTHERS
from tests.simulation.mutated.proof import PROOF
from tests.simulation.mutated.rebuild import REBUILD
from tests.simulation.mutated.state import KEPT
from tests.simulation.mutated.stores import STORES
from tests.simulation.mutated.truncate import TRUNCATE

MUTANTS = (*TRUNCATE, *HOLDS, *ORDERING, *BREAKS, *THE_GUARD, *STORES, *KEPT, *REBUILD, *BACKFILLS, *OTHERS, *PROOF)
