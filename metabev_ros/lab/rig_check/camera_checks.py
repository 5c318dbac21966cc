"""Checks of one camera: what it sends, its CameraInfo, and what its name says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from metabev_ros.config import CameraConfig
from metabev_ros.geometry import wrap_angle
from metabev_ros.lab.rig_check.findings import Finding, Kind
from metabev_ros.lab.rig_check.look import CameraLook, InfoLook, Placed
from metabev_ros.lab.rig_check.proposing import is_named_rectified

_AHEAD = {'front', 'fwd', 'forward', 'rear', 'back', 'backward'}
_HEADINGS = {  # word in a name -> degrees to the left of ahead
    **dict.fromkeys(('front', 'fwd', 'forward'), 0.0),
    **dict.fromkeys(('rear', 'back', 'backward'), 180.0),
    'left': 90.0,
    'right': -90.0,
}
# A pair of stereo cameras is called left and right, and looks ahead.
_ALLOWED, _ALLOWED_OF_SIDES = 60.0, 120.0
_FAULTY_SHARE = 0.5  # of the pictures that were looked at
_KINDS = {'encoding': Kind.ENCODING}


def check_images(look: CameraLook, camera: CameraConfig) -> Iterator[Finding]:
    """Images that cannot be read, or show nothing."""
    for reason, count in grouped(look.refused).items():
        kind = _KINDS.get(reason.partition(':')[0], Kind.UNREADABLE)
        expected = 'an encoding that is read' if kind is Kind.ENCODING else 'readable images'
        got = f'{reason.partition(": ")[2]} in {count} of {look.seen}'
        yield Finding(kind, camera.name, look.topic, expected, got)
    for words, count in look.faults.most_common(1):
        total = sum(look.faults.values())
        if total >= _FAULTY_SHARE * look.looked_at:
            got = f'{words} (in {count} of {look.looked_at} that were looked at)'
            yield Finding(Kind.PICTURE, camera.name, look.topic, 'pictures of something', got)


def grouped(refused: Counter[str]) -> Counter[str]:
    """Reasons -> messages; many texts of one reason are told as the commonest of them."""
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for text, count in refused.most_common():
        found[first.setdefault(text.partition(':')[0], text)] += count
    return found


def check_calibration(
    look: CameraLook, info: InfoLook | None, camera: CameraConfig, placed: Placed, problem: str
) -> Iterator[Finding]:
    """CameraInfo: whether it is there, usable, and of these images.

    Args:
        look: its images.
        info: its CameraInfo.
        camera: of the rig.
        placed: with its lens, where that is usable.
        problem: why it is not.
    """
    name = camera.name
    if camera.info_topic and (info is None or info.last is None):
        expected = 'sensor_msgs/CameraInfo'
        yield Finding(Kind.NO_CAMERA_INFO, name, camera.info_topic, expected, 'no message')
        return
    lens = placed.intrinsics
    if lens is None:
        yield Finding(Kind.CALIBRATION, name, camera.info_topic, 'a calibrated camera', problem)
        return
    sizes = [size for size in look.sizes if size != (lens.width, lens.height)]
    if sizes:
        expected = f'{lens.width} x {lens.height} as in CameraInfo'
        got = ', '.join(f'{width} x {height}' for width, height in sizes[:3])
        yield Finding(Kind.IMAGE_SIZE, name, look.topic, expected, got)
    if info is not None:
        yield from _check_rectified(info, camera)


def _check_rectified(info: InfoLook, camera: CameraConfig) -> Iterator[Finding]:
    """Topic, rig file and CameraInfo must agree on whether a lens bends the images.

    Of rectified images the CameraInfo often still holds D of the lens, beside a P that is not K:
    then P is taken, and nothing is wrong.
    """
    if info.last is None:
        return
    last, is_named = info.last, is_named_rectified(camera.topic)
    k, p = np.asarray(last.k, float).reshape(3, 3), np.asarray(last.p, float).reshape(3, 4)
    if not np.asarray(last.d, float).any():
        return
    where = f'{camera.topic}, {info.topic}'
    if camera.rectified and (not is_named or np.allclose(k, p[:, :3])):
        expected = 'D of zeros, or a P of its own, of rectified images'
        got = 'rectified: true, and D with a P that is K'
        yield Finding(Kind.RECTIFICATION, camera.name, where, expected, got)
    elif not camera.rectified and is_named:
        expected = '`rectified: true` of a topic of this name'
        got = 'rectified: false, and a D that is not zero'
        yield Finding(Kind.RECTIFICATION, camera.name, where, expected, got)


def check_direction(camera: CameraConfig, placed: Placed) -> Iterator[Finding]:
    """The direction that words in the name and the topic say, against the pose."""
    if placed.ego_from_sensor is None:
        return
    words = set(re.split(r'[^a-z]+', f'{camera.name}/{camera.topic}'.lower())) & set(_HEADINGS)
    said = np.deg2rad([_HEADINGS[word] for word in sorted(words)])
    mean = np.array([np.cos(said).sum(), np.sin(said).sum()])
    if not len(said) or np.hypot(*mean) < 0.5:
        return
    axis = placed.ego_from_sensor[:3, 2]
    if np.hypot(axis[0], axis[1]) < 0.5:
        return  # it looks down or up
    looks, expected = np.arctan2(axis[1], axis[0]), np.arctan2(mean[1], mean[0])
    off = abs(float(np.rad2deg(wrap_angle(np.asarray(looks - expected)))))
    if off > (_ALLOWED if words & _AHEAD else _ALLOWED_OF_SIDES):
        yield Finding(
            Kind.DIRECTION,
            camera.name,
            f'TF {camera.frame}',
            f'about {np.rad2deg(expected):.0f} deg to the left of ahead, as {sorted(words)} say',
            f'{np.rad2deg(looks):.0f} deg',
        )
