"""Tracks as markers: what a display draws of them stands where the tracks were, are and go."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from support.made_model import MODEL
from test_wire_standard import CAR, followed

from metabev_ros import wire
from metabev_ros.config import MarkersConfig
from metabev_ros.geometry import box_corners
from metabev_ros.outputs import track_messages
from metabev_ros.structures import class_colour
from metabev_ros.tracks import Track, TrackState
from metabev_ros.wire.markers import MARKER_LIMIT

COASTING = dataclasses.replace(CAR, id=7, state=TrackState.COASTING, unseen_s=1.25)


def shown(*tracks: Track, text: bool = False) -> dict[str, list]:
    """Namespace -> markers as RViz reads them."""
    markers = MarkersConfig(lifetime=0.7, text=text)
    own, extra = track_messages(followed(*tracks), MODEL, 'base_link', markers, ('track_markers',))
    assert (own.topic, extra.topic) == ('tracks', 'track_markers')
    found: dict[str, list] = {}
    for marker in wire.deserialize(extra.cdr, extra.msgtype).markers:
        assert marker.header.frame_id == 'base_link'
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 700_000_000)
        found.setdefault(marker.ns, []).append(marker)
    return found


def points(marker) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in marker.points])


def test_a_tail_leads_through_the_places_where_it_was_to_where_it_is() -> None:
    (tail,) = shown(CAR)['tails']
    assert tail.type == tail.LINE_LIST
    path = [*CAR.tail.tolist(), CAR.box[:3].tolist()]
    expected = [place for pair in zip(path, path[1:], strict=False) for place in pair]
    assert points(tail).tolist() == expected
    opacities = [colour.a for colour in tail.colors]
    assert opacities == sorted(opacities) and opacities[0] < 0.2 and opacities[-1] == 1
    assert tail.colors[0].r * 255 == pytest.approx(class_colour('car')[0])


def test_a_box_has_its_edges_and_a_line_to_where_it_is_in_a_second() -> None:
    found = shown(CAR)
    corners = {tuple(c) for c in box_corners(CAR.box[None])[0].round(6).tolist()}
    assert {tuple(p) for p in points(found['tracks'][0]).round(6).tolist()} == corners
    start, end = points(found['ahead'][0])
    assert end - start == pytest.approx([0, 2, 0])


def test_what_coasts_is_faint_and_says_since_when_it_was_not_seen() -> None:
    found = shown(CAR, COASTING, text=True)
    (boxes,) = found['tracks']
    edges = len(boxes.points) // 2
    assert {colour.a for colour in boxes.colors[:edges]} == {1}
    assert max(colour.a for colour in boxes.colors[edges:]) < 0.5
    assert [m.text for m in found['text']] == [f'car {CAR.id}', 'car 7, unseen 1.2 s']
    for markers in found.values():
        for marker in markers:
            assert len(marker.colors) in (0, len(marker.points))


def test_tentative_tracks_are_not_drawn_and_nothing_deletes_what_was() -> None:
    found = shown(dataclasses.replace(CAR, state=TrackState.TENTATIVE))
    assert {ns: [m.action for m in markers] for ns, markers in found.items()} == {
        name: [found[name][0].DELETE] for name in ('tracks', 'tails', 'ahead')
    }


def test_in_a_crowd_the_nearest_are_drawn() -> None:
    far = [math.hypot(3, k + 2) for k in range(MARKER_LIMIT + 50)]
    crowd = [
        dataclasses.replace(CAR, id=k, box=np.array([d, 0, 0, 1, 1, 1, 0, 0, 0]))
        for k, d in enumerate(reversed(far))
    ]
    starts = points(shown(*crowd)['ahead'][0])[::2, 0]
    assert starts.tolist() == pytest.approx(far[:MARKER_LIMIT])
