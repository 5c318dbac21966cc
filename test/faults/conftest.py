"""The scripted rig of the sensing tests is the one that faults are injected into."""
from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'sensing'))


@pytest.fixture
def reliability_module(repo_root, monkeypatch):
    """Imports a module of benchmark/reliability by its name."""
    monkeypatch.syspath_prepend(repo_root / 'benchmark/reliability')

    def load(name: str):
        sys.modules.pop(name, None)
        return importlib.import_module(name)
    return load
