"""Ten rigs, each simulated, replayed and run live: labels and projection against the drive.

docs/rigs.md is the table of what works. Odometry is exact here: the projection shows the geometry
alone.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from support.rig_drives import RIGS, RigBag, box_points, rig_path, write_rig_bag

from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import ModelConfig, SensingConfig, load_config
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.replay.run import output_topic, replay_bag
from metabev_ros.resources import resource_path
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.sensing.image_reader import ImageSize

MODEL = 'models/metabev_nano'
SETTLED_NS = 350_000_000  # from here on every sensor has been heard
LIVE_RATE = 0.4  # the machine of a test may be slow and busy
LIVE_ALWAYS = ('cameras_only', 'lidar_only', 'fast_lidar')


@pytest.fixture(scope='module')
def bag_of(tmp_path_factory):
    """Name of a rig -> its written drive."""
    folder = tmp_path_factory.mktemp('rigs')
    return cache(lambda name: write_rig_bag(name, folder))


# ---------------------------------------------------------------------------------------- labels
def check_label(status, bag: RigBag, came_ns: int | None) -> None:
    """Hold a status against the bag: what is used was sent before, at the age that is said."""
    stamp = wire.stamp_to_ns(status.header.stamp)
    assert [sensor.name for sensor in status.sensors] == list(bag.rig.sensor_names)
    used = [sensor for sensor in status.sensors if sensor.used]
    lidar = any(sensor.kind == sensor.KIND_LIDAR for sensor in used)
    camera = any(sensor.kind == sensor.KIND_CAMERA for sensor in used)
    assert status.modality == camera + 2 * lidar
    for sensor in used:
        sent = [s for s in bag.sent[sensor.name] if abs((stamp - s) * 1e-9 - sensor.age) < 1e-6]
        assert len(sent) == 1, f'{sensor.name}: nothing was sent {sensor.age} s before'
        assert came_ns is None or bag.sent[sensor.name][sent[0]] <= came_ns
    assert any(stamp in times for times in bag.sent.values())


@pytest.mark.parametrize('name', RIGS)
def test_a_replay_of_the_rig_uses_every_sensor_and_labels_it_truly(name, bag_of, tmp_path):
    bag = bag_of(name)
    summary = replay_bag(
        bag.path, tmp_path / 'out.mcap', resource_path(MODEL), bag.rig, SensingConfig()
    )
    assert not summary.failed
    statuses, outputs = [], []
    for message in BagReader(tmp_path / 'out.mcap'):
        if message.topic == output_topic(wire.STATUS):
            status = wire.deserialize(message.cdr, message.msgtype)
            if not status.is_heartbeat:
                statuses.append((message.log_time_ns, status))
        elif message.topic == output_topic(wire.DETECTIONS):
            outputs.append(wire.deserialize(message.cdr, message.msgtype))
    settled, leader = 0, (*bag.rig.lidars, *bag.rig.cameras)[0].name
    assert len(statuses) == len(outputs) >= 5
    for (came_ns, status), output in zip(statuses, outputs, strict=True):
        check_label(status, bag, came_ns)
        used = {sensor.name: sensor.age for sensor in status.sensors if sensor.used}
        assert dict(zip(output.sensors, output.sensor_ages, strict=True)) == used
        if wire.stamp_to_ns(status.header.stamp) >= bag.drive.start_ns + SETTLED_NS:
            settled += came_ns <= bag.end_ns
            if came_ns <= bag.end_ns:
                assert set(used) == set(bag.rig.sensor_names), status.reason
                assert output.modality == RIGS[name].value
                assert wire.stamp_to_ns(status.header.stamp) in bag.sent[leader]
    assert settled >= 3


# ------------------------------------------------------------------------------------ projection
def samples_of(bag: RigBag):
    """The samples that the network would be given."""
    config = load_config(ModelConfig, resource_path(f'{MODEL}/config.yaml'))
    size = ImageSize(config.camera.height, config.camera.width)
    end = SensorFrontEnd(
        bag.rig, SensingConfig(), Preprocessor(config).prepare_image, size, config.lidar.sweeps
    )
    wanted = {topic.lstrip('/') for topic in end.subscriptions()}
    for message in BagReader(bag.path):
        if message.topic.lstrip('/') in wanted:
            content = wire.deserialize(message.cdr, message.msgtype)
            yield from end.push(message.topic, content, message.log_time_ns)


def inside(pixels: np.ndarray, width: int, height: int, margin: float = 0.0) -> np.ndarray:
    low = (pixels >= margin - 0.5).all(axis=1)
    return low & (pixels <= np.array([width, height]) - 0.5 - margin).all(axis=1)


def projected(calibration, points: np.ndarray) -> np.ndarray:
    """(P, 2) pixels of the network's image."""
    seen = (np.linalg.inv(calibration.ego_from_camera) @ np.c_[points, np.ones(len(points))].T)[:3]
    return ((calibration.intrinsics @ seen)[:2] / seen[2]).T


CAMERA_RIGS = [name for name in RIGS if name != 'lidar_only']


@pytest.mark.parametrize('name', CAMERA_RIGS)
def test_true_boxes_lie_where_the_network_is_told_they_lie(name, bag_of):
    bag, errors, cameras = bag_of(name), [], set()
    for sample in samples_of(bag):
        truth = bag.truths.get(sample.stamp_ns)
        if truth is None:
            continue
        points = box_points(truth)
        seconds = bag.true_time(bag.drive.truth_source, sample.stamp_ns)
        for camera, image in sample.cameras.items():
            report = next(r for r in sample.sensors if r.name == camera)
            if image is None or report.reason.endswith(' ms'):
                continue  # the motion since its stamp is not known yet, and that is said
            lens, network = bag.lenses[camera], image.calibration
            seen = bag.in_camera(camera, image.stamp_ns, points, seconds)
            ahead = seen[:, 2] > 1.0
            pixels = lens.pixels(seen[ahead])
            shown = inside(pixels, lens.width, lens.height)
            rays = seen[ahead][shown]
            exact = (
                rays[:, :2] / rays[:, 2:] @ network.intrinsics[:2, :2].T
                + network.intrinsics[:2, 2]
            )
            told = projected(network, points[ahead][shown])
            close = inside(exact, network.width, network.height)
            errors += list(np.linalg.norm(told - exact, axis=1)[close])
            cameras |= {camera} if close.any() else set()
    assert len(errors) > 50
    assert len(cameras) >= math.ceil(len(bag.rig.cameras) / 2)
    assert max(errors) < 0.5


@pytest.mark.parametrize('name', CAMERA_RIGS)
def test_a_spot_of_the_picture_lands_where_the_calibration_puts_it(name, bag_of):
    """Through `prepare_image`: the intrinsics that the other test takes for granted."""
    bag = bag_of(name)
    config = load_config(ModelConfig, resource_path(f'{MODEL}/config.yaml'))
    prepare, checked = Preprocessor(config).prepare_image, 0
    for camera, lens in bag.lenses.items():
        for side, up in ((-0.35, 0.02), (0.0, 0.08), (0.3, -0.05)):
            ray = np.array([[side, up, 1.0]])
            (at,) = lens.pixels(ray)
            y, x = np.mgrid[: lens.height, : lens.width]
            wide = lens.width / 60
            spot = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * wide**2))
            picture = np.repeat((250 * spot).astype(np.uint8)[..., None], 3, axis=2)
            pixels, fitted = prepare(picture, lens.calibration())
            expected = (fitted.intrinsics @ ray[0])[:2]
            if not inside(expected[None], fitted.width, fitted.height, 24)[0]:
                continue
            light = pixels[..., 0].astype(float)
            y, x = np.mgrid[: fitted.height, : fitted.width]
            found = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
            assert np.linalg.norm(found - expected) < 0.5, (camera, side, up)
            checked += 1
    assert checked >= len(bag.lenses)


# ------------------------------------------------------------------------------------------ live
def live(name: str) -> object:
    return name if name in LIVE_ALWAYS else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.ros
@pytest.mark.parametrize('name', [live(name) for name in RIGS])
def test_the_real_node_runs_the_rig(name, bag_of, graph, model, tmp_path):
    from support.live_graph import NodeProcess

    from metabev_ros.node.player import BagPlayer, PlayerOptions

    bag, first = bag_of(name), len(graph.records)
    node = NodeProcess(
        tmp_path,
        model=model,
        rig=rig_path(name),
        use_sim_time=True,
        **{
            'inference.table_wait': 5.0,
            'inference.time_limit': 20.0,
            'inference.hang_limit': 60.0,
        },
    )
    try:
        node.wait_for_log('active:')
        player = BagPlayer(graph.node, bag.path, PlayerOptions(rate=LIVE_RATE, clock=True))
        topics = ['/' + sensor.topic for sensor in bag.rig.sensors]
        assert player.wait_for_subscribers(topics, 30)
        player.play()
        graph.wait_for(
            wire.DETECTIONS,
            lambda output: set(output.sensors) == set(bag.rig.sensor_names),
            timeout=20,
        )
        player.close()
    finally:
        code = node.stop()
    assert code == 0
    records = graph.records[first:]
    labels = [r.message for r in records if r.topic == wire.STATUS]
    for status in labels:
        if not status.is_heartbeat:
            check_label(status, bag, None)
    outputs = [r.message for r in records if r.topic == wire.DETECTIONS]
    complete = [o for o in outputs if set(o.sensors) == set(bag.rig.sensor_names)]
    assert complete
    assert {output.modality for output in complete} == {RIGS[name].value}
