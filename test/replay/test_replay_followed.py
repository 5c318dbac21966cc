"""Tracks in other packages' types and the sensors' panel, through a replay with the shipped model.

The cameras and the LiDAR die before the bag ends: tracks coast until they expire.
"""

from __future__ import annotations

import numpy as np
import pytest
from support import rig_messages

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import OutputsConfig, SensingConfig, TrackingConfig
from metabev_ros.drawing import STATE_COLOURS
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import resource_path
from metabev_ros.structures import SensorState

LAST_TICK, TICKS = 5, 18
REQUIRED = OutputsConfig(
    autoware_tracks='require', track_markers='require', sensor_panel='require'
)
# Boxes of noise are weak: each begins a track that is believed at once.
TRACKING = TrackingConfig(start_score=0.06, least_score=0.06, confirm_hits=1, coast_blind=1.0)
TOPICS = (wire.TRACKS, 'autoware_tracks', 'track_markers', 'sensor_panel', wire.DIAGNOSTICS)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Topic -> messages."""
    folder = tmp_path_factory.mktemp('followed')
    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(
            writer, TICKS, skip=lambda sensor, tick: tick > LAST_TICK, with_odometry=True
        )
    replay_bag(
        folder / 'in.mcap',
        folder / 'out.mcap',
        resource_path('models/metabev_nano/contract.json').parent,
        rig_messages.rig(),
        SensingConfig(deadline=0.1),
        outputs=REQUIRED,
        tracking=TRACKING,
    )
    found = {topic: [] for topic in TOPICS}
    for message in BagReader(folder / 'out.mcap'):
        for topic in TOPICS:
            if message.topic == output_topic(topic):
                found[topic].append(wire.deserialize(message.cdr, message.msgtype))
    return found


def stamp(message) -> int:
    return wire.stamp_to_ns(message.header.stamp)


def test_autoware_gets_every_believed_track_while_seen_while_it_coasts_and_its_end(written):
    ours, theirs = written[wire.TRACKS], written['autoware_tracks']
    assert [stamp(m) for m in ours] == [stamp(m) for m in theirs]
    coasted = 0
    for own, other in zip(ours, theirs, strict=True):
        numbers = [int.from_bytes(bytes(o.object_id.uuid)[8:], 'big') for o in other.objects]
        assert numbers == [track.id for track in own.tracks if track.state != 1]
        scores = [o.existence_probability for o in other.objects]
        assert scores == pytest.approx([track.score for track in own.tracks])
        coasted += own.is_heartbeat and bool(other.objects)
    assert coasted > 3 and ours[0].tracks and theirs[-1].objects == []


def test_an_identity_names_the_moment_at_which_its_track_began(written):
    (identities,) = {
        frozenset(bytes(o.object_id.uuid) for o in m.objects)
        for m in written['autoware_tracks'][:1]
    }
    assert {int.from_bytes(i[:8], 'big') for i in identities} == {stamp(written[wire.TRACKS][0])}


def test_markers_show_the_tracks_of_the_same_stamp_and_vanish_with_the_last_one(written):
    for own, shown in zip(written[wire.TRACKS], written['track_markers'], strict=True):
        ahead = next(marker for marker in shown.markers if marker.ns == 'ahead')
        assert wire.stamp_to_ns(ahead.header.stamp) == stamp(own)
        assert len(ahead.points) == 2 * min(len(own.tracks), 100)
    assert {marker.action for marker in written['track_markers'][-1].markers} == {2}


def test_the_panel_comes_with_the_diagnostics_and_shows_the_death_of_the_sensors(written):
    panels = written['sensor_panel']
    assert [stamp(m) for m in panels] == [stamp(m) for m in written[wire.DIAGNOSTICS]]
    assert len({(m.height, m.width) for m in panels}) == 1

    def has(panel, state: SensorState) -> bool:
        pixels = np.asarray(panel.data).reshape(-1, 3)
        return bool((pixels == STATE_COLOURS[state]).all(axis=1).any())

    assert has(panels[2], SensorState.OK) and not has(panels[-1], SensorState.OK)
    assert has(panels[-1], SensorState.STALE)
