"""A vehicle that moves: calibrations of six cameras in every sample, and sweeps of 34 000 points.

Each camera has a phase of its own at 12 Hz, so that an image is up to 83 ms older than the sweep;
odometry at 100 Hz with noise brings it to the stamp of the sweep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z
from metabev_ros.structures import CameraCalibration, Sample, Sweep

SEED = 900_500
PERIOD = 0.1  # s, of the sweeps
CAMERA_RATE, ODOMETRY_RATE = 12.0, 100.0  # Hz
POINTS = 34_000


@dataclass(frozen=True)
class Motion:
    """How the vehicle moves, and how well its odometry knows.

    Attributes:
        speed: m/s.
        yaw_rate: rad/s.
        noise: standard deviation of every axis of a message, metres.
        noise_angle: the same of every angle, radians.
    """

    speed: float
    yaw_rate: float
    noise: float
    noise_angle: float


MOTIONS = {
    'moving': Motion(15.0, 0.3, 0.01, np.radians(0.05)),
    'standing': Motion(0.0, 0.0, 1e-4, np.radians(1e-3)),
}


def odometry(motion: Motion, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One message a row: stamp, x, y, z, roll, pitch, yaw."""
    stamp = np.arange(0, seconds, 1 / ODOMETRY_RATE)
    yaw = motion.yaw_rate * stamp
    x = np.cumsum(motion.speed * np.cos(yaw)) / ODOMETRY_RATE
    y = np.cumsum(motion.speed * np.sin(yaw)) / ODOMETRY_RATE
    pose = np.column_stack([stamp, x, y, *np.zeros((3, len(stamp))), yaw])
    pose[:, 1:4] += rng.normal(0, motion.noise, (len(stamp), 3))
    pose[:, 4:] += rng.normal(0, motion.noise_angle, (len(stamp), 3))
    return pose


def pose_at(messages: np.ndarray, stamp: float) -> np.ndarray:
    """(4, 4) odom_from_ego between two messages."""
    x, y, z, roll, pitch, yaw = (np.interp(stamp, messages[:, 0], c) for c in messages.T[1:])
    about_x = rotation_z(roll)[[2, 0, 1]][:, [2, 0, 1]]
    about_y = rotation_z(pitch)[[1, 2, 0]][:, [1, 2, 0]]
    return rigid_transform(rotation_z(yaw) @ about_y @ about_x, [x, y, z])


def calibrations_of(
    rig: Sequence[CameraCalibration], motion: Motion, samples: int
) -> list[list[CameraCalibration]]:
    """The rig of every sample: images at their own stamps, brought to that of the sweep."""
    rng = np.random.default_rng(SEED)
    phases = rng.uniform(0, 1 / CAMERA_RATE, len(rig))
    poses = odometry(motion, 1 + samples * PERIOD, rng)
    rigs = []
    for reference in 0.5 + np.arange(samples) * PERIOD:
        ego_from_odom = inverse_rigid(pose_at(poses, reference))
        ages = (reference - phases) % (1 / CAMERA_RATE)
        rigs.append(
            [
                dataclasses.replace(
                    camera,
                    ego_from_camera=ego_from_odom
                    @ pose_at(poses, reference - age)
                    @ camera.ego_from_camera,
                )
                for camera, age in zip(rig, ages, strict=True)
            ]
        )
    return rigs


def with_calibrations(sample: Sample, rig: Sequence[CameraCalibration]) -> Sample:
    """The sample with its images at other places."""
    cameras = {
        name: dataclasses.replace(image, calibration=calibration)
        for (name, image), calibration in zip(sample.cameras.items(), rig, strict=True)
    }
    return dataclasses.replace(sample, cameras=cameras)


def scattered_sweep() -> Sweep:
    """The worst sweep: its points fill as many pillars as a network takes."""
    rng = np.random.default_rng(SEED)
    points = rng.uniform([-50, -50, -1, 0, 0], [50, 50, 2, 255, 0.05], (POINTS, 5))
    return Sweep(0, points.astype(np.float32), rigid_transform(np.eye(3), [0, 0, 1.8]))


def street_sweep() -> Sweep:
    """32 beams as of a roof: rings on the ground between walls and the fronts of vehicles."""
    rng = np.random.default_rng(SEED)
    beam, turn = np.meshgrid(np.linspace(-0.53, 0.19, 32), np.linspace(-np.pi, np.pi, 1063))
    beam, turn = beam.ravel(), turn.ravel()
    wall = rng.uniform(4, 50, 120)[((turn + np.pi) / (2 * np.pi) * 119.999).astype(int)]
    reach = np.minimum(wall, np.where(beam < -0.03, -1.8 / np.sin(np.minimum(beam, -0.03)), 60))
    reach *= rng.normal(1, 0.01, len(reach))
    xyz = reach * np.array(
        [np.cos(turn) * np.cos(beam), np.sin(turn) * np.cos(beam), np.sin(beam)]
    )
    points = np.column_stack([xyz.T, rng.uniform(0, 255, len(turn)), np.zeros(len(turn))])
    return Sweep(0, points.astype(np.float32), rigid_transform(np.eye(3), [0, 0, 1.8]))
