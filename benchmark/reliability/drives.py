"""The scripted drives and the injected truth of test/faults, for the measurements here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'test'))  # support/: scripted rigs and injected drives


class Figure(NamedTuple):
    """One measured value, ready to become a record."""

    id: str
    value: float
    unit: str
    n: int
    target: str | None = None
