"""`metabev ...`: the only place that prints or exits.

Exit codes: 0 done; 1 a target was missed; 2 wrong use or configuration, or an output that cannot
be written; 3 done, but part of the input could not be read.
"""

from metabev_ros.cli import (
    artefacts,
    bags,
    calibrating,
    cards,
    checking,
    data,
    doctor,
    fleet,
    learning,
    looking,
    pages,
    results,
    scores,
    vehicle,
    what_if,
)
from metabev_ros.cli.app import app, main

__all__ = [
    'app',
    'artefacts',
    'bags',
    'calibrating',
    'cards',
    'checking',
    'data',
    'doctor',
    'fleet',
    'learning',
    'looking',
    'main',
    'pages',
    'results',
    'scores',
    'vehicle',
    'what_if',
]
