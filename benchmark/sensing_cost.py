"""What sensing costs at vehicle rates, before any network runs.

    .venv/bin/metabev-env python benchmark/sensing_cost.py [--before CHECKOUT]
        [--record docs/results/sensing_cost.json]

Six cameras of 1920x1080 JPEG at 30 Hz, each with its own phase, and a LiDAR of 128 beams at
20 Hz in front of `metabev_nano`, at 15 m/s with odometry at 100 Hz. The figure is cores: seconds
of processor time of the process, all of its threads, for a second of the stream, from serialized
messages to samples. What the middleware does to receive them is not in it. With a checkout of
older code the same bag goes through that too, in turns. `now` makes the samples that an inference
of 150 ms, `metabev_nano` on two cores, has a chance to take, as the node does; `all` makes every
one, which is what a replay does.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from metabev_ros import wire
from metabev_ros.bags import BagWriter
from metabev_ros.lab.datasets.synthetic import bag_messages as made
from metabev_ros.lab.evaluation.records import make_record, merge_records
from metabev_ros.structures import CameraCalibration

SECONDS, CAMERA_HZ, LIDAR_HZ, ODOMETRY_HZ = 4, 30, 20, 100
WIDTH, HEIGHT, CAMERAS, BEAMS, COLUMNS = 1920, 1080, 6, 128, 1024
DISTINCT = 15  # pictures of a camera before one comes again; more than are remembered
SPEED, SEED, START = 15.0, 0, 1_700_000_000_000_000_000
TARGET = 0.6  # cores
INFERENCE = 150  # milliseconds

# Runs in the checkout that is measured; says cores, samples and cameras of a sample.
_CHILD = """
import json, sys, time
from metabev_ros import wire
from metabev_ros.bags import BagReader
from metabev_ros.config import RigConfig, SensingConfig, load_config
from metabev_ros.pipeline import Pipeline
from metabev_ros.sensing.front_end import SensorFrontEnd
from metabev_ros.structures import Modality

bag, rig_file, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
rig = load_config(RigConfig, rig_file)
pipeline = Pipeline.load('models/metabev_nano', threads=1)
if hasattr(pipeline, 'front_end'):
    end = pipeline.front_end(rig, SensingConfig())
else:
    end = SensorFrontEnd(rig, SensingConfig(), pipeline.prepare_image)
messages = list(BagReader(bag))
samples, begin = [], time.process_time()
now, busy, inference = 0, 0, int(sys.argv[4]) * 10**6
if inference:
    end.is_wanted = lambda: now >= busy - 100 * 10**6
for m in messages:
    now = m.log_time_ns
    before = len(samples)
    while (due := end.next_deadline_ns()) is not None and due < m.log_time_ns:
        samples += end.poll(due)
    content = wire.deserialize(m.cdr, m.msgtype)
    samples += end.push(m.topic, content, m.log_time_ns)
    if len(samples) > before:
        busy = max(now, busy) + inference if busy <= now + inference else busy
spent = time.process_time() - begin
fused = [s for s in samples if s.modality is Modality.FUSED]
print(json.dumps({
    'cores': spent / seconds,
    'samples': len(samples),
    'cameras': sum(len(s.used_sensors) - 1 for s in fused) / max(1, len(samples)),
}))
"""


def picture(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB: shapes of all sizes and the noise of a sensor."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells in (6, 24, 96):
        coarse = rng.uniform(-1, 1, (cells * 9 // 16 + 1, cells, 3)).astype(np.float32)
        pixels += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) * 40
    pixels += rng.normal(0, 4, pixels.shape).astype(np.float32)
    return np.clip(pixels + 110, 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> np.ndarray:
    """(n,) uint8: about 0.11 bytes a pixel, as the files of nuScenes have."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 80]
    return cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)[1].reshape(-1)


def sweep(rng: np.random.Generator) -> np.ndarray:
    """(P, 5) float32: `POINT_COLUMNS`, column by column; the last is seconds before the stamp."""
    azimuth = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    elevation = np.deg2rad(np.linspace(-25, 15, BEAMS))
    azimuth, elevation = np.meshgrid(azimuth, elevation, indexing='ij')
    ground = 1.8 / np.maximum(np.sin(-elevation), 1e-3)
    distance = np.minimum(ground, 20 + 15 * np.sin(3 * azimuth)) + rng.normal(
        0, 0.02, ground.shape
    )
    ray = np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ],
        axis=-1,
    )
    seconds = np.broadcast_to(np.linspace(-0.05, 0, COLUMNS)[:, None], azimuth.shape)
    intensity = rng.integers(0, 60, azimuth.shape)
    columns = [ray * distance[..., None], intensity[..., None], seconds[..., None]]
    return np.concatenate(columns, axis=-1).reshape(-1, 5).astype(np.float32)


def write_stream(bag: Path) -> None:
    """The bag of the rig, by the times at which its messages arrive."""
    rng = np.random.default_rng(SEED)
    events: list[tuple[int, str, str, bytes]] = []

    def say(topic: str, msgtype: str, at_ns: int, message: object) -> None:
        events.append((at_ns, topic, msgtype, wire.serialize(message, msgtype)))

    level = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    mounts = [('base_link', f'cam{k}', level) for k in range(CAMERAS)]
    lidar = np.eye(4)
    lidar[:3, 3] = 0.9, 0, 1.8
    links = made.transforms(START, [*mounts, ('base_link', 'lidar', lidar)])
    say('/tf_static', 'tf2_msgs/msg/TFMessage', START - 10**9, links)
    for k in range(CAMERAS):
        say(f'/cam{k}/info', 'sensor_msgs/msg/CameraInfo', START - 10**9, camera_info(k))
        shown = [picture(rng) for _ in range(DISTINCT)]
        files = [jpeg(pixels) for pixels in shown]
        for n in range(SECONDS * CAMERA_HZ):
            stamp = START + round((n + k / CAMERAS) * 1e9 / CAMERA_HZ)
            message = made.image(stamp, f'cam{k}', np.zeros((8, 8, 3), np.uint8))
            message.data = files[n % DISTINCT]
            arrival = stamp + round(rng.uniform(8e6, 14e6))
            say(f'/cam{k}/jpeg_compressed', 'sensor_msgs/msg/CompressedImage', arrival, message)
    clouds = [sweep(rng) for _ in range(DISTINCT)]
    for n in range(SECONDS * LIDAR_HZ):
        stamp = START + round(n * 1e9 / LIDAR_HZ)
        message = made.cloud(stamp, 'lidar', clouds[n % DISTINCT])
        say('/lidar/points', 'sensor_msgs/msg/PointCloud2', stamp + 15_000_000, message)
    for n in range(SECONDS * ODOMETRY_HZ):
        stamp = START + round((n - 5) * 1e9 / ODOMETRY_HZ)
        say('/odom', 'nav_msgs/msg/Odometry', stamp + 1_000_000, odometry(stamp))
    with BagWriter(bag) as writer:
        for at_ns, topic, msgtype, cdr in sorted(events, key=lambda event: event[0]):
            writer.write(topic, msgtype, at_ns, cdr)


def camera_info(number: int) -> object:
    """sensor_msgs/CameraInfo of a rectified camera."""
    matrix = np.array([[1500.0, 0, 959.5], [0, 1500, 539.5], [0, 0, 1]])
    return made.camera_info(
        START, f'cam{number}', CameraCalibration(WIDTH, HEIGHT, matrix, np.eye(4))
    )


def odometry(stamp_ns: int) -> object:
    """nav_msgs/Odometry of a vehicle that drives straight on."""
    pose = np.eye(4)
    pose[0, 3] = SPEED * (stamp_ns - START) * 1e-9
    return made.odometry(stamp_ns, pose, np.array([SPEED, 0.0, 0.0]))


def rig_text(is_old: bool) -> str:
    """The rig file of the stream, as this version writes it or as the one before did."""
    said = '' if is_old else ', transport: compressed, rectified: true'
    lines = ['cameras:']
    lines += [
        f'  - {{name: cam{k}, topic: cam{k}/jpeg_compressed, info_topic: cam{k}/info, '
        f'frame: cam{k}, rate_hz: {CAMERA_HZ}.0{said}}}'
        for k in range(CAMERAS)
    ]
    lidar = f'{{name: lidar, topic: lidar/points, frame: lidar, rate_hz: {LIDAR_HZ}.0'
    time = '' if is_old else ', point_time: {field: time, unit: s}'
    lines.append(f'lidar: {lidar}}}' if is_old else f'lidars: [{lidar}{time}}}]')
    return '\n'.join(lines) + '\n'


def measure(checkout: Path, bag: Path, rig: Path, inference: int) -> dict[str, float]:
    """Cores, samples and cameras a sample, of the code in a checkout.

    Args:
        inference: milliseconds of one; 0 where every sample is wanted.
    """
    environment = {**os.environ, 'PYTHONPATH': f'{checkout}:{os.environ.get("PYTHONPATH", "")}'}
    done = subprocess.run(
        [sys.executable, '-c', _CHILD, str(bag), str(rig), str(SECONDS), str(inference)],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--before', type=Path, help='a checkout of the code to compare with')
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--record', type=Path)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    checkouts = {'now': here, 'all': here}
    if arguments.before:
        checkouts['before'] = arguments.before
    found: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'stream.mcap'
        print('writing the stream ...', flush=True)
        write_stream(bag)
        for run in range(arguments.runs):
            for name, checkout in checkouts.items():
                rig = Path(folder) / f'{name}.yaml'
                rig.write_text(rig_text(name == 'before'), encoding='utf-8')
                found[name].append(measure(checkout, bag, rig, INFERENCE if name == 'now' else 0))
                print(f'run {run + 1} of {arguments.runs}, {name}: {found[name][-1]}', flush=True)
    cores = {name: statistics.median(r['cores'] for r in runs) for name, runs in found.items()}
    cameras = {name: statistics.median(r['cameras'] for r in runs) for name, runs in found.items()}
    print({'cores': cores, 'cameras a sample': cameras})
    if arguments.record:
        record(arguments.record, cores, cameras, arguments.runs)


def record(path: Path, cores: dict[str, float], cameras: dict[str, float], runs: int) -> None:
    """Write the figures down."""
    command, target = shlex.join(['python', *sys.argv]), f'<= {TARGET}'
    figures = [('cores', cores['now'], 'cores', target)]
    figures.append(('cores_all', cores['all'], 'cores', None))
    figures.append(('cameras', cameras['now'], 'of 6 in a sample, mean', '>= 5.94'))
    if 'before' in cores:
        figures.append(('cores_before', cores['before'], 'cores', None))
        for name, of in (('ratio', 'now'), ('ratio_all', 'all')):
            figures.append((name, cores[of] / cores['before'], 'of the cores before', None))
        figures.append(('cameras_before', cameras['before'], 'of 6 in a sample, mean', None))
    merge_records(
        path,
        [
            make_record(f'sensing_cost.{name}', value, unit, command, runs, goal)
            for name, value, unit, goal in figures
        ],
    )


if __name__ == '__main__':
    main()
