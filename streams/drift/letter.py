"""The short reasons why a change is given up: of dead letters, in metrics, and as `dlq list` knows them."""

from __future__ import annotations

from typing import Final

UNDECODABLE: Final = "undecodable"
REFUSED: Final = "refused"
REASONS: Final = (UNDECODABLE, REFUSED)
