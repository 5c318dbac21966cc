"""Figures of reliability; `python benchmark/reliability --help` names them."""
