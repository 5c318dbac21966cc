"""Kinds of place that a world can be."""

from __future__ import annotations

import enum


class Style(enum.Enum):
    """Kind of place; it decides the roads, what stands beside them and who moves there."""

    DOWNTOWN = 'downtown'
    RESIDENTIAL = 'residential'
    ARTERIAL = 'arterial'
    INDUSTRIAL = 'industrial'
    RURAL = 'rural'
    MOTORWAY = 'motorway'
    CAR_PARK = 'car_park'
