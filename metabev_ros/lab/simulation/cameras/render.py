"""Pictures of the cameras of a vehicle at one instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.cameras.lamps import lamps_around
from metabev_ros.lab.simulation.cameras.lens import Lens, lens_of
from metabev_ros.lab.simulation.cameras.light import Light
from metabev_ros.lab.simulation.cameras.optics import develop
from metabev_ros.lab.simulation.cameras.patch import Eye
from metabev_ros.lab.simulation.cameras.radiance import radiance
from metabev_ros.lab.simulation.cameras.scene import Moment, Scene, backdrop
from metabev_ros.lab.simulation.cameras.vectors import grey, unit
from metabev_ros.lab.simulation.rays import Hits, Rays
from metabev_ros.lab.simulation.visibility import count_alone
from metabev_ros.structures import CameraCalibration

_TOGETHER = 140_000  # rays that are shaded at once
_CONTRAST = 0.07  # difference between neighbours from which a pixel is looked at again
_MOST = 0.16  # share of the pixels that are
_SPREAD = ((-0.3, -0.3), (0.3, 0.1), (-0.1, 0.35), (0.1, -0.35), (0.35, 0.35), (-0.35, 0.1))


@dataclass(frozen=True)
class Shutter:
    """Times at which the rows of a camera look.

    Attributes:
        lag: seconds from the instant to the middle row.
        readout: seconds from the first row to the last; 0: all at once.
    """

    lag: float = 0.0
    readout: float = 0.0


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, inf for the sky.
        owner: (H, W) int32 row of the instant's objects, -1 elsewhere.
        alone: (M,) int64 pixels that each object would cover alone.
    """

    pixels: np.ndarray
    depth: np.ndarray
    owner: np.ndarray
    alone: np.ndarray


def render(
    scene: Scene,
    instant: Moment,
    cameras: Sequence[CameraCalibration],
    light: Light,
    rng: np.random.Generator,
    supersampling: int = 2,
    shutters: Sequence[Shutter] | None = None,
) -> list[Shot]:
    """One picture of each camera.

    Args:
        supersampling: rays of a pixel at edges and fine patterns; elsewhere there is one.
        shutters: when each camera looks; all rows at the instant unless given.

    Raises:
        ConfigError: not as many shutters as cameras, or more rays a pixel than are foreseen.
    """
    require(
        1 <= supersampling <= len(_SPREAD) + 1,
        'render.supersampling',
        f'between 1 and {len(_SPREAD) + 1}',
        supersampling,
    )
    shutters = [Shutter()] * len(cameras) if shutters is None else shutters
    require(len(shutters) == len(cameras), 'render.shutters', f'{len(cameras)}', len(shutters))
    known = backdrop(scene)
    ego = scene.ego_poses(np.array([instant.time]))[0]
    lamps = (
        lamps_around(instant, known.lamps, ego, float(ego[2, 3]), light)
        if light.lamps > 0
        else None
    )
    eye = Eye(scene, instant, known, light, lamps, rng)
    views = [
        _View.of(eye, camera, shutter) for camera, shutter in zip(cameras, shutters, strict=True)
    ]
    alike = max(1, _TOGETHER // max(view.picture.size // 3 for view in views)) if views else 1
    shots = []
    for first in range(0, len(views), alike):
        shots += _shots(eye, views[first : first + alike], supersampling)
    return shots


@dataclass(frozen=True)
class _View:
    """A camera while its picture is made.

    Attributes:
        poses: (H or 1, 4, 4) world_from_camera of the rows; lag: (H, 1) float32 seconds.
        picture, depth, owner, alone: as in `Shot`, the picture (H, W, 3) float32 linear light.
    """

    lens: Lens
    poses: np.ndarray
    lag: np.ndarray
    picture: np.ndarray
    depth: np.ndarray
    owner: np.ndarray
    alone: np.ndarray

    @classmethod
    def of(cls, eye: Eye, camera: CameraCalibration, shutter: Shutter) -> _View:
        shape = (camera.height, camera.width)
        return cls(
            lens_of(camera),
            *_poses(eye, camera, shutter),
            np.zeros((*shape, 3), np.float32),
            np.full(shape, np.inf, np.float32),
            np.full(shape, -1, np.int32),
            np.zeros(len(eye.moment.movers), np.int64),
        )


def _shots(eye: Eye, views: Sequence[_View], supersampling: int) -> list[Shot]:
    """Pictures of some cameras, whose rays are shaded together: small arrays are slow."""
    width = views[0].depth.shape[1]
    step = max(16, _TOGETHER // (width * len(views)) // 16 * 16)
    for top in range(0, max(view.depth.shape[0] for view in views), step):
        _look(eye, views, slice(top, top + step))
    if supersampling > 1:
        _look_again(eye, views, supersampling - 1)
    shots = []
    for view in views:
        pixels = develop(view.picture, eye.light, eye.rng)
        pixels[~view.lens.valid] = 0
        shots.append(Shot(pixels, view.depth, view.owner, view.alone))
    return shots


def _look(eye: Eye, views: Sequence[_View], band: slice) -> None:
    """One ray through the middle of each pixel of some rows of some cameras."""
    parts, found, valid = [], [], []
    for view in views:
        rays = _rays(view, band)
        seen = np.flatnonzero(view.lens.valid[band].reshape(-1))
        rays = rays if len(seen) == len(rays) else rays.take(seen)
        hits = eye.scene.cast(rays, eye.moment)
        axis = view.lens.direction[band].reshape(-1, 3)[seen, 2]
        view.depth[band].reshape(-1)[seen] = hits.distance * axis
        view.owner[band].reshape(-1)[seen] = hits.mover
        view.alone[:] += _alone(eye, view, rays, hits)
        parts.append(rays)
        found.append(hits)
        valid.append(seen)
    angle = [v.lens.angle[band].reshape(-1)[s] for v, s in zip(views, valid, strict=True)]
    colour = radiance(eye, Rays.join(parts), _joined(found), np.concatenate(angle))
    pieces = np.split(colour, np.cumsum([len(seen) for seen in valid])[:-1])
    for view, seen, piece in zip(views, valid, pieces, strict=True):
        view.picture[band].reshape(-1, 3)[seen] = piece


def _alone(eye: Eye, view: _View, rays: Rays, hits: Hits) -> np.ndarray:
    """(M,) pixels that each object would cover alone."""
    bodies, movers = eye.scene.ray_bodies, eye.moment.movers
    whole = len(rays) == view.depth.size
    if len(view.poses) > 1 or not whole:
        return count_alone(rays, hits, bodies, movers)
    return count_alone(rays, hits, bodies, movers, view.lens.tiles, view.poses[0])


def _joined(parts: Sequence[Hits]) -> Hits:
    return Hits(
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.mover for part in parts]),
        np.concatenate([part.triangle for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def _poses(eye: Eye, camera: CameraCalibration, shutter: Shutter) -> tuple[np.ndarray, np.ndarray]:
    """(H or 1, 4, 4) world_from_camera and (H, 1) float32 lag of the rows."""
    rows = np.linspace(-0.5, 0.5, camera.height) if camera.height > 1 else np.zeros(1)
    lag = shutter.lag + shutter.readout * rows
    times = eye.moment.time + (lag if shutter.readout else lag[:1])
    poses = eye.scene.ego_poses(times) @ camera.ego_from_camera
    return poses, lag[:, None].astype(np.float32)


def _rays(view: _View, band: slice) -> Rays:
    direction, poses = view.lens.direction[band], view.poses
    if len(poses) == 1:
        turned = direction @ poses[0, :3, :3].T.astype(np.float32)
        return Rays.grid(poses[0, :3, 3], turned, view.lag[band])
    part = poses[band].astype(np.float32)
    turned = np.matmul(direction, part[:, :3, :3].transpose(0, 2, 1))
    return Rays.grid(part[:, None, :3, 3], turned, view.lag[band])


def _look_again(eye: Eye, views: Sequence[_View], extra: int) -> None:
    """More rays for pixels that differ from their neighbours, in place."""
    places = [np.nonzero(_edges(view.picture, view.lens.valid)) for view in views]
    chosen = [(v, *p) for v, p in zip(views, places, strict=True) if len(p[0])]
    if not chosen:
        return
    rays = Rays.join([_rays_again(view, rows, columns, extra) for view, rows, columns in chosen])
    angle = [np.tile(view.lens.angle[rows, columns], extra) for view, rows, columns in chosen]
    hits = eye.scene.cast(rays, eye.moment)
    colour = _pressed(radiance(eye, rays, hits, np.concatenate(angle)))
    start = 0
    for view, rows, columns in chosen:
        piece = colour[start : start + extra * len(rows)].reshape(extra, len(rows), 3)
        start += extra * len(rows)
        # Light is averaged as a tone curve presses it: highlights have no jagged edges.
        total = (_pressed(view.picture[rows, columns]) + piece.sum(0)) / (extra + 1)
        view.picture[rows, columns] = total / np.maximum(1 - grey(total), 1e-3)[:, None]


def _rays_again(view: _View, rows: np.ndarray, columns: np.ndarray, extra: int) -> Rays:
    """`extra` rays through each of some pixels, beside their middles."""
    lens, poses = view.lens, view.poses
    wide = -(-view.picture.shape[1] // 16)
    tile = np.tile((rows // 16) * wide + columns // 16, extra).astype(np.int32)
    ahead = lens.direction[rows, columns]
    across, down = lens.across[rows, columns], lens.down[rows, columns]
    direction = unit(
        np.concatenate(
            [ahead + across * np.float32(a) + down * np.float32(b) for a, b in _SPREAD[:extra]]
        )
    )
    rows_of = np.tile(rows, extra)
    if len(poses) > 1:
        pose = poses[rows_of].astype(np.float32)
        direction = np.einsum('kij,kj->ki', pose[:, :3, :3], direction)
        origin = np.ascontiguousarray(pose[:, :3, 3])
    else:
        direction = direction @ poses[0, :3, :3].T.astype(np.float32)
        origin = np.tile(poses[0, :3, 3].astype(np.float32), (len(direction), 1))
    return Rays(origin, direction, view.lag[rows_of, 0], tile)


def _pressed(colour: np.ndarray) -> np.ndarray:
    return colour / (1 + grey(colour))[:, None]


def _edges(picture: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels that differ most from their neighbours."""
    luma = grey(picture)
    middle = max(float(np.median(luma[::4, ::4])), 1e-4)
    pressed = luma / (luma + np.float32(middle))
    kernel = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(pressed, kernel) - cv2.erode(pressed, kernel)
    contrast[~valid] = 0
    most = int(_MOST * contrast.size)
    least = max(_CONTRAST, float(np.partition(contrast.reshape(-1), -most)[-most]))
    return contrast > least
