"""The scripted rig of the sensing tests is the one that faults are injected into."""
from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'sensing'))
