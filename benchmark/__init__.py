"""Measurements: every figure that the documentation states is made by a program here."""
