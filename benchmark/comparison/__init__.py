"""Contestants trained and scored alike; `benchmark/fair_comparison.py` runs it."""
