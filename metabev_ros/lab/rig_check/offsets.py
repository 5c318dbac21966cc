"""Stamps on one clock: what the rig file adds to those of single sensors."""

from __future__ import annotations

from dataclasses import replace

from metabev_ros.config import RigConfig
from metabev_ros.lab.rig_check.look import BagLook, CameraLook, CloudLook


def on_one_clock(look: BagLook, rig: RigConfig) -> BagLook:
    """The same look with `time_offset` added to the stamps of the sensors that have one.

    A stamp of zero stays zero: it is none.
    """
    offsets = {
        sensor.topic.lstrip('/'): round(sensor.time_offset * 1e9)
        for sensor in rig.sensors
        if sensor.time_offset
    }
    if not offsets:
        return look
    cameras = {
        topic: _camera(camera, offsets.get(topic.lstrip('/'), 0))
        for topic, camera in look.cameras.items()
    }
    clouds = {
        topic: _cloud(cloud, offsets.get(topic.lstrip('/'), 0))
        for topic, cloud in look.clouds.items()
    }
    return replace(look, cameras=cameras, clouds=clouds)


def _stamps(stamps: list[int], offset_ns: int) -> list[int]:
    return [stamp + offset_ns if stamp else 0 for stamp in stamps]


def _camera(camera: CameraLook, offset_ns: int) -> CameraLook:
    shots = [replace(shot, stamp_ns=shot.stamp_ns + offset_ns) for shot in camera.shots]
    return replace(camera, stamps=_stamps(camera.stamps, offset_ns), shots=shots)


def _cloud(cloud: CloudLook, offset_ns: int) -> CloudLook:
    sweeps = [
        replace(sweep, stamp_ns=sweep.stamp_ns + offset_ns, offset_ns=offset_ns)
        for sweep in cloud.sweeps
    ]
    return replace(cloud, stamps=_stamps(cloud.stamps, offset_ns), sweeps=sweeps)
