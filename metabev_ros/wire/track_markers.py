"""Tracks as visualization_msgs/MarkerArray: boxes, tails, and where they will be, for displays."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabev_ros.config import MarkersConfig
from metabev_ros.geometry import box_corners
from metabev_ros.structures import ModelInfo, class_colour
from metabev_ros.tracks import Track, TrackedObjects, TrackState
from metabev_ros.wire.cdr import header, message_class
from metabev_ros.wire.markers import (
    MARKER_EDGES,
    MARKER_LIMIT,
    duration,
    lines_marker,
    text_marker,
)

AHEAD = 1.0  # seconds that the line in front of a moving object says
COASTING_OPACITY = 0.35  # of what is believed and not seen
BOXES, TAILS, AHEADS = 'tracks', 'tails', 'ahead'  # namespaces, one marker each


def track_markers(
    objects: TrackedObjects, model: ModelInfo, frame: str, markers: MarkersConfig
) -> Any:
    """Three LINE_LISTs of the nearest believed tracks, and with `markers.text` who they are.

    A tail fades towards its oldest place. A track that coasts is faint.
    """
    head, lifetime = header(objects.stamp_ns, frame), duration(markers.lifetime)
    believed = [track for track in objects.tracks if track.state is not TrackState.TENTATIVE]
    shown = sorted(believed, key=lambda track: float(np.hypot(*track.box[:2])))[:MARKER_LIMIT]
    lines: dict[str, list[np.ndarray]] = {BOXES: [], TAILS: [], AHEADS: []}
    colours: dict[str, list[Any]] = {BOXES: [], TAILS: [], AHEADS: []}
    for track in shown:
        opacity = COASTING_OPACITY if track.state is TrackState.COASTING else 1.0
        name, tail = model.detection_classes[track.label], _tail(track)
        edges = box_corners(track.box[None])[0, np.array(MARKER_EDGES).reshape(-1)]
        fading = opacity * np.linspace(0.1, 1.0, len(tail))
        ahead = np.stack([track.box[:3], track.box[:3]])
        ahead[1, :2] += AHEAD * track.box[7:9]
        for part, points, faint in (
            (BOXES, edges, np.full(len(edges), opacity)),
            (TAILS, tail, fading),
            (AHEADS, ahead, np.full(2, opacity)),
        ):
            lines[part].append(points)
            colours[part] += _colours(name, faint)
    plain = message_class('std_msgs/msg/ColorRGBA')(r=1.0, g=1.0, b=1.0, a=1.0)
    made = [
        lines_marker(
            head, part, np.concatenate([np.zeros((0, 3)), *points]), lifetime, plain, colours[part]
        )
        for part, points in lines.items()
    ]
    if markers.text:
        made += [
            text_marker(head, number, track.box, _text(track, model), lifetime)
            for number, track in enumerate(shown)
        ]
    return message_class('visualization_msgs/msg/MarkerArray')(markers=made)


def _tail(track: Track) -> np.ndarray:
    """(2 L, 3) ends of the lines from each place to the next, and on to where it is now."""
    places = np.concatenate([track.tail, track.box[None, :3]])
    return np.repeat(places, 2, axis=0)[1:-1]


def _colours(name: str, opacities: np.ndarray) -> list[Any]:
    kind = message_class('std_msgs/msg/ColorRGBA')
    red, green, blue = (part / 255 for part in class_colour(name))
    return [kind(r=red, g=green, b=blue, a=opacity) for opacity in opacities.tolist()]


def _text(track: Track, model: ModelInfo) -> str:
    """Class and identity, and since when it was not seen."""
    unseen = f', unseen {track.unseen_s:.1f} s' if track.state is TrackState.COASTING else ''
    return f'{model.detection_classes[track.label]} {track.id}{unseen}'
