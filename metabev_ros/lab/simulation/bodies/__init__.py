"""Shapes of everything that moves or is parked: parametric."""
