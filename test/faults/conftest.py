"""Access to the measurements of benchmark/reliability."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.fixture
def reliability_module(repo_root, monkeypatch):
    """Imports a module of benchmark/reliability by its name."""
    monkeypatch.syspath_prepend(repo_root / 'benchmark/reliability')

    def load(name: str):
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load
