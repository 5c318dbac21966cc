"""Crowds: who drives, stands, walks and works where, by the kind of place."""
