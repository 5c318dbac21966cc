"""The node on a played bag and the replay of that bag give the same bytes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from support import rig_messages
from support.keyframe_rig import keyframe_rig
from support.lockstep import PATIENT, Lockstep
from support.rig_messages import CAMERAS, LIDAR, PERIOD_NS

from metabev_ros import wire
from metabev_ros.bags import BagReader, BagWriter
from metabev_ros.config import (
    DetectionsConfig,
    MarkersConfig,
    OutputsConfig,
    OutputSettings,
    RigConfig,
    SensingConfig,
    TrackingConfig,
    save_config,
    to_plain,
)
from metabev_ros.replay.run import output_topic, replay_bag

pytestmark = pytest.mark.ros

TICKS = 14
COMPARED = (wire.DETECTIONS, wire.BEV_MAP, wire.DRIVABLE_AREA, wire.MARKERS, wire.TRACKS)
REQUIRED = OutputsConfig(layers='require', overlay_compressed='require', track_markers='require')
EXTRA = ('layers/walkway', 'overlay/compressed', 'track_markers')  # of what that asks for
SETTINGS = OutputSettings(
    DetectionsConfig(scores='all=0.1, all@20=0.2', nms_scale=0.8),
    MarkersConfig(min_score=0.15, lifetime=0.7, text=True),
)
# Boxes of noise are weak: each begins a track that is believed at once.
TRACKING = TrackingConfig(start_score=0.06, least_score=0.06, confirm_hits=1)


def skipped(sensor: str, tick: int) -> bool:
    """The cameras die, then the LiDAR: all three modalities are compared."""
    return sensor in CAMERAS and 3 <= tick < 6 or sensor == LIDAR and 8 <= tick < 11


def of_samples(messages: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """What is not of tracks that coast: heartbeats are not at the same times."""
    tracks = [
        wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.TRACKS]) for cdr in messages[wire.TRACKS]
    ]
    return messages | {
        topic: [
            cdr for cdr, said in zip(messages[topic], tracks, strict=True) if not said.is_heartbeat
        ]
        for topic in (wire.TRACKS, 'track_markers')
        if topic in messages
    }


def live_and_replayed(
    graph,
    model: str,
    bag: Path,
    rig: RigConfig,
    folder: Path,
    required: OutputsConfig | None = None,
    settings: OutputSettings | None = None,
):
    """Outputs of the live node and of replay: two dicts topic -> list of bytes."""
    from support.live_graph import NodeProcess

    sensing, said = SensingConfig(deadline=0.1), settings or OutputSettings()
    replay_bag(
        bag,
        folder / 'out.mcap',
        model,
        rig,
        sensing,
        outputs=required,
        settings=settings,
        tracking=TRACKING,
    )
    topics = COMPARED if required is None else (*COMPARED, *EXTRA)
    outputs = list(BagReader(folder / 'out.mcap'))
    replayed = of_samples(
        {t: [m.cdr for m in outputs if m.topic == output_topic(t)] for t in topics}
    )
    made = [m.log_time_ns for m in outputs if m.topic == output_topic(wire.DETECTIONS)]
    first = len(graph.records)
    save_config(rig, folder / 'this_rig.yaml')
    node = NodeProcess(
        folder,
        model=model,
        rig=folder / 'this_rig.yaml',
        **PATIENT,
        **parameters_of_settings(said),
        **{f'tracking.{name}': value for name, value in to_plain(TRACKING).items()},
    )
    try:
        node.wait_for_log('active:')
        Lockstep(graph, rig, made).play(BagReader(bag))
        time.sleep(1.0)  # an output too many must have the time to come
    finally:
        code = node.stop(signal.SIGTERM)
    assert code == 0
    live = of_samples({t: [r.cdr for r in graph.records[first:] if r.topic == t] for t in topics})
    return {topic: unpadded(live[topic], replayed[topic]) for topic in topics}, replayed


def parameters_of_settings(settings: OutputSettings) -> dict[str, object]:
    """Parameters of a node by name; empty texts cannot be given on a command line."""
    return {
        f'{group}.{name}': value
        for group, values in to_plain(settings).items()
        for name, value in values.items()
        if value != ''
    }


def unpadded(live: list[bytes], replayed: list[bytes]) -> list[bytes]:
    """What DDS delivered without the zeros by which it fills up to four bytes."""
    sizes = [len(cdr) for cdr in replayed]
    return [
        cdr[:size] if len(cdr) - size < 4 and not any(cdr[size:]) else cdr
        for cdr, size in zip(live, sizes, strict=False)
    ] + live[len(sizes) :]


@pytest.fixture(scope='module')
def both(graph, model, tmp_path_factory):
    """A small drive in which sensors die, through the node and through replay."""
    folder = tmp_path_factory.mktemp('equality')
    with BagWriter(folder / 'in.mcap') as writer:
        rig_messages.write_drive(writer, TICKS, skip=skipped, with_odometry=True)
    every = wire.standard_outputs()
    for topic in EXTRA:
        graph.record(topic, every[topic].msgtype)
    return live_and_replayed(
        graph, model, folder / 'in.mcap', rig_messages.rig(), folder, REQUIRED, SETTINGS
    )


def test_replay_made_every_modality(both):
    _, replayed = both
    modalities = [
        wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.DETECTIONS]).modality
        for cdr in replayed[wire.DETECTIONS]
    ]
    assert set(modalities) == {1, 2, 3}
    stamps = [wire.read_stamp(cdr) for cdr in replayed[wire.DETECTIONS]]
    assert stamps[-1] - stamps[0] >= (TICKS - 4) * PERIOD_NS


def test_replay_followed_objects_through_every_modality(both):
    _, replayed = both
    arrays = [
        wire.deserialize(cdr, wire.OUTPUT_TYPES[wire.TRACKS]) for cdr in replayed[wire.TRACKS]
    ]
    assert all(array.is_motion_known for array in arrays)
    assert {array.modality for array in arrays} == {1, 2, 3}
    assert max(track.hits for array in arrays for track in array.tracks) > 1


@pytest.mark.parametrize('topic', [*COMPARED, *EXTRA])
def test_live_and_replay_are_equal_bit_for_bit(both, topic):
    live, replayed = both
    assert len(replayed[topic]) >= TICKS - 3
    assert live[topic] == replayed[topic]


def test_the_real_keyframe_gives_the_same_bytes_live_and_in_replay(
    graph, model, shared_data, tmp_path
):
    rig = keyframe_rig()
    live, replayed = live_and_replayed(
        graph, model, shared_data / 'bags' / 'nuscenes_keyframe', rig, tmp_path
    )
    assert {topic: len(found) for topic, found in replayed.items()} == dict.fromkeys(COMPARED, 1)
    array = wire.deserialize(replayed[wire.DETECTIONS][0], wire.OUTPUT_TYPES[wire.DETECTIONS])
    assert array.sensors == list(rig.sensor_names)
    assert live == replayed
