"""One measured value, before it becomes a record; and where the checkout is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Figure(NamedTuple):
    """One measured value, ready to become a record."""

    id: str
    value: float
    unit: str
    n: int
    target: str | None = None
