"""A spinning LiDAR in the world: rays, echoes, and what the sensor makes of them.

Each ray starts where the sensor is at its own time and meets everything where it is then. Points
are given in the LiDAR's frame of that time, as a real sensor sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.lab.simulation.lidar_models import LidarModel
from metabev_ros.lab.simulation.materials import column
from metabev_ros.lab.simulation.rays import Hits, RayMesh, Rays
from metabev_ros.lab.simulation.street import Instant, Street
from metabev_ros.lab.simulation.surfaces import Surface

_POSES = 33  # of the vehicle in a sweep
_BEHIND = 0.02  # metres behind a pane from which a ray goes on
_INTENSITY = column('intensity')
_GLOSS = column('gloss')
_TRANSMISSION = column('transmission')
_RETRO = column('retro') > 0
_SPREAD = column('spread')
_TENTH = 8.0  # intensity of a surface that scatters a tenth of the light


@dataclass(frozen=True)
class Mounted:
    """A LiDAR on the vehicle.

    Attributes:
        model: its kind.
        ego_from_lidar: (4, 4).
        last: azimuth in radians, in the LiDAR's frame, of the last column of a sweep; it turns
            clockwise.
        period: seconds of a revolution; 0 measures everything at once.
    """

    model: LidarModel
    ego_from_lidar: np.ndarray
    last: float
    period: float


@dataclass(frozen=True)
class Returns:
    """Returns of one sweep in the order of its columns.

    Attributes:
        xyz: (P, 3) float32 in the LiDAR frame at the time of each point, metres.
        intensity: (P,) float32 0..255, whole numbers.
        lag: (P,) float32 seconds, at most 0: how long before the stamp it was measured.
        ring: (P,) uint16.
        mover: (P,) int32 row of the instant's objects, -1 elsewhere, -2 on our own vehicle.
    """

    xyz: np.ndarray
    intensity: np.ndarray
    lag: np.ndarray
    ring: np.ndarray
    mover: np.ndarray

    def take(self, rows: np.ndarray) -> Returns:
        """Some of the points."""
        return Returns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


OWN = -2


def scan(
    street: Street,
    instant: Instant,
    mounted: Mounted,
    own: RayMesh,
    rain: float,
    rng: np.random.Generator,
) -> Returns:
    """One sweep that ends at the instant.

    Args:
        own: our own vehicle in the ego frame.
        rain: 0 for dry air, 1 for heavy rain.
    """
    model = mounted.model
    azimuth, lag = _columns(mounted, rng)
    local = _directions(model, azimuth, rng)  # (azimuths, beams, 3)
    rays = _world_rays(street, instant.time, mounted, local, lag)
    flat = local.reshape(-1, 3)
    own_distance = _own_distances(own, mounted, flat)
    hits = street.cast(rays, instant)
    distance, intensity, mover = _echoes(street, instant, rays, hits, model, rain, rng)
    hidden = own_distance < distance
    distance = np.where(hidden, own_distance, distance)
    mover = np.where(hidden, OWN, mover)
    intensity = np.where(hidden, rng.uniform(1, 30, len(hidden)), intensity)
    distance, intensity, mover = _mix_at_edges(distance, intensity, mover, local.shape, model, rng)
    distance, intensity, mover = _drops_of_rain(distance, intensity, mover, rain, rng)
    keep = np.isfinite(distance) & (distance > model.nearest)
    rows = np.flatnonzero(keep)
    noisy = distance[rows] + rng.normal(0, model.noise, len(rows))
    beams = model.beams
    near = (10.0 / np.maximum(distance[rows], 3.0)) ** model.falloff
    value = 255 * model.gain * near * (np.clip(intensity[rows], 0, 255) / 255) ** model.gamma
    return Returns(
        (flat[rows] * noisy[:, None]).astype(np.float32),
        np.clip(np.rint(value), 0, 255).astype(np.float32),
        np.repeat(lag, beams)[rows].astype(np.float32),
        (rows % beams).astype(np.uint16),
        mover[rows].astype(np.int32),
    )


def _columns(mounted: Mounted, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Azimuths in the LiDAR frame and lags of the columns, first to last."""
    count = mounted.model.azimuths
    back = np.arange(count - 1, -1, -1)
    azimuth = mounted.last + (back + rng.uniform()) * (2 * np.pi / count)
    return azimuth, -back / count * mounted.period


def _directions(model: LidarModel, azimuth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(azimuths, beams, 3) float32 unit vectors in the LiDAR frame, x right, y forward."""
    elevation = np.deg2rad(np.asarray(model.elevations))
    elevation = elevation + rng.normal(0, np.deg2rad(0.02), len(elevation))  # of this unit
    level = np.cos(elevation)
    local = np.empty((len(azimuth), len(elevation), 3), np.float32)
    local[..., 0] = np.cos(azimuth)[:, None] * level
    local[..., 1] = np.sin(azimuth)[:, None] * level
    local[..., 2] = np.sin(elevation)
    return local


def _world_rays(
    street: Street, t: float, mounted: Mounted, local: np.ndarray, lag: np.ndarray
) -> Rays:
    """The rays where the sensor is at the time of each column."""
    pose = _poses(street, t, lag) @ mounted.ego_from_lidar  # (azimuths, 4, 4)
    direction = np.matmul(local, pose[:, :3, :3].transpose(0, 2, 1).astype(np.float32))
    origin = np.broadcast_to(pose[:, None, :3, 3].astype(np.float32), direction.shape)
    return Rays.grid(origin, direction, lag[:, None])


def _poses(street: Street, t: float, lag: np.ndarray) -> np.ndarray:
    """(columns, 4, 4) world_from_ego, straight between poses that are milliseconds apart."""
    if len(lag) <= _POSES or lag[0] == lag[-1]:
        return street.ego_poses(t + lag)
    knots = np.linspace(lag[0], lag[-1], _POSES)
    poses = street.ego_poses(t + knots)
    place = (lag - knots[0]) / (knots[1] - knots[0])
    first = np.clip(place.astype(int), 0, _POSES - 2)
    part = (place - first)[:, None, None]
    return poses[first] + part * (poses[first + 1] - poses[first])


def _own_distances(own: RayMesh, mounted: Mounted, local: np.ndarray) -> np.ndarray:
    """(N,) float32 metres to our own vehicle, inf where the ray misses it."""
    found = np.full(len(local), np.inf, np.float32)
    if not len(own.mesh.triangles):
        return found
    pose = mounted.ego_from_lidar.astype(np.float32)
    direction = local @ pose[:3, :3].T
    # Rays that pass above the roof's farthest corner need not be asked.
    low, high = own.mesh.bounds
    above = float(pose[2, 3] - high[2])
    far = float(np.hypot(*np.maximum(np.abs(low - pose[:3, 3]), np.abs(high - pose[:3, 3]))[:2]))
    steepest = -above / np.hypot(above, far) if above > 0 else 1.0
    rows = np.flatnonzero(direction[:, 2] <= steepest + 1e-3)
    origin = np.broadcast_to(pose[:3, 3], (len(rows), 3))
    found[rows] = own.cast(origin, direction[rows])[0]
    return found


def _echoes(
    street: Street,
    instant: Instant,
    rays: Rays,
    hits: Hits,
    model: LidarModel,
    rain: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) distance (inf: no echo), intensity and mover of the echo that the sensor takes.

    A ray that goes through glass may come back from behind it.
    """
    distance = np.full(len(rays), np.inf)
    intensity = np.zeros(len(rays))
    mover = np.full(len(rays), -1)
    rows, travelled = np.flatnonzero(np.isfinite(hits.distance)), np.zeros(len(rays), np.float32)
    for _ in range(3):  # a pane, another pane, what is behind
        if not len(rows):
            break
        surface = street.surface(rays, hits, instant, rows)
        away = travelled[rows] + hits.distance[rows]
        passes = rng.uniform(size=len(rows)) < _TRANSMISSION[surface.material]
        strength = _strength(surface, hits.mover[rows], instant)
        seen = rng.uniform(size=len(rows)) < _chance(strength, away, model, rain)
        stays = seen & ~passes
        back = rows[stays]
        distance[back], intensity[back] = away[stays], strength[stays]
        mover[back] = hits.mover[back]
        on = rows[passes]
        if not len(on):
            break
        travelled[on] += hits.distance[on] + _BEHIND
        onward = replace(
            rays.take(on), origin=rays.origin[on] + travelled[on, None] * rays.direction[on]
        )
        behind = street.cast(onward, instant)
        hits = _placed(hits, behind, on)
        rows = on[np.isfinite(behind.distance)]
    return distance, intensity, mover


def _placed(hits: Hits, part: Hits, rows: np.ndarray) -> Hits:
    """`hits` with `part` in some rows."""
    columns = {}
    for name in ('distance', 'mover', 'triangle', 'weights'):
        whole = getattr(hits, name).copy()
        whole[rows] = getattr(part, name)
        columns[name] = whole
    return replace(hits, **columns)


def _strength(surface: Surface, mover: np.ndarray, instant: Instant) -> np.ndarray:
    """(K,) intensity by material, object and slant, 0..255."""
    median = _INTENSITY[surface.material]
    spread = _SPREAD[surface.material]
    # One draw for each object, and a finer one for each ray comes with the noise of the echo.
    own = np.append(instant.brightness, 0.0)[mover]
    still = surface.colour.mean(1) / 128.0  # dark surfaces send less back
    shade = np.where(mover >= 0, np.exp(spread * own), np.clip(still, 0.4, 1.8))
    gloss = _GLOSS[surface.material]
    slant = (1 - gloss) * np.sqrt(surface.facing) + gloss * surface.facing**6
    slant = np.where(_RETRO[surface.material], np.sqrt(surface.facing), slant)
    return median * shade * slant


def _chance(
    strength: np.ndarray, distance: np.ndarray, model: LidarModel, rain: float
) -> np.ndarray:
    """(K,) chance that an echo is taken: it falls with range, with dark and slanting surfaces."""
    reach = model.reach * np.sqrt(np.maximum(strength, 0.02) / _TENTH) * (1 - 0.5 * rain)
    reach = np.clip(reach, 4.0, 200.0)
    return 0.995 / (1 + (distance / reach) ** 6)


def _mix_at_edges(
    distance: np.ndarray,
    intensity: np.ndarray,
    mover: np.ndarray,
    shape: tuple[int, ...],
    model: LidarModel,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rays at an edge lie between both surfaces, as the beam has a width."""
    columns, beams = shape[:2]
    grid = distance.reshape(columns, beams)
    following = np.roll(grid, -1, axis=0)
    with np.errstate(invalid='ignore'):  # nothing beside nothing
        gap = following - grid
    step = 2 * np.pi / columns
    edge = np.isfinite(gap) & (np.abs(gap) > 0.3) & (np.abs(gap) < 6.0)
    hit = edge & (rng.uniform(size=grid.shape) < 0.5 * min(1.0, model.beam / step))
    rows = np.flatnonzero(hit.reshape(-1))
    share = rng.uniform(0.1, 0.9, len(rows))
    distance = distance.copy()
    distance[rows] += share * gap.reshape(-1)[rows]
    intensity = intensity.copy()
    intensity[rows] *= 0.4
    mover = np.where(hit.reshape(-1), -1, mover)
    return distance, intensity, mover


def _drops_of_rain(
    distance: np.ndarray,
    intensity: np.ndarray,
    mover: np.ndarray,
    rain: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rays come back from drops near the sensor."""
    if rain <= 0:
        return distance, intensity, mover
    near = rng.exponential(6.0, len(distance)) + 1.0
    drop = (rng.uniform(size=len(distance)) < 0.02 * rain) & (near < distance)
    return (
        np.where(drop, near, distance),
        np.where(drop, rng.uniform(0, 3, len(distance)), intensity),
        np.where(drop, -1, mover),
    )
