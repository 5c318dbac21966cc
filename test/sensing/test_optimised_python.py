"""What checks the inputs is no `assert`: the same refusals under `python -O`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HOSTILE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from support.fake_drive import camera_info, cloud, field, image
from metabev_ros import wire
from metabev_ros.errors import SensorDataError
from metabev_ros.sensing.calibration import read_camera_info
from metabev_ros.sensing.decoding import read_image
from metabev_ros.sensing.point_clouds import decode_point_cloud

pixels, points = np.full((6, 8, 3), 9, np.uint8), np.ones((40, 4), np.float32)
xyz = [field('x', 0), field('y', 4), field('z', 8)]
huge = dict(width=2**32 - 1, height=2**32 - 1)
refused = [
    (read_image, image(pixels, data=b'')), (read_image, image(pixels, step=0)),
    (read_image, image(pixels, **huge)), (read_image, image(pixels, encoding='bgr9')),
    (decode_point_cloud, cloud(points, data=b'1')), (decode_point_cloud, cloud(points, **huge)),
    (decode_point_cloud, cloud(points, point_step=0)),
    (decode_point_cloud, cloud(points, row_step=1)),
    (decode_point_cloud, cloud(points, fields=[*xyz, field('i', 2**31)])),
    (lambda m: read_camera_info(m, False), camera_info('c', d=[0.1] * 10**6)),
    (lambda m: read_camera_info(m, False), camera_info('c', k=[float('nan')] * 9)),
    (lambda m: wire.deserialize(m, 'sensor_msgs/msg/Image'), b'\\0\\1\\0\\0\\xff\\xff'),
]
for call, message in refused:
    try:
        call(message)
        sys.exit(f'taken: {message}')
    except SensorDataError:
        pass
assert False, 'under -O this line does nothing'
big = cloud(points, data=points.astype('>f4').tobytes(), is_bigendian=True)
first, second = decode_point_cloud(big)[0], decode_point_cloud(big)[0]
padded = np.full((6, 29), 77, np.uint8)
padded[:, :24] = 9
right = [np.array_equal(first, second) and np.array_equal(first[:, :4], points),
         (read_image(image(pixels, step=29, data=padded.tobytes())).decode()[0] == 9).all(),
         (read_image(image(pixels, is_bigendian=1)).decode()[0] == 9).all(),
         len(decode_point_cloud(cloud(points * np.inf, is_dense=True))[0]) == 0]
sys.exit(0 if all(right) else f'wrong: {right}')
"""


def test_row_024_027_028_038_039_041_065_the_hazards_are_refused_under_optimised_python():
    tests = Path(__file__).resolve().parents[1]
    result = subprocess.run(
        [sys.executable, '-O', '-c', HOSTILE, str(tests)],
        text=True,
        capture_output=True,
        timeout=300,
        cwd=tests.parent,
    )
    assert result.returncode == 0, result.stderr
