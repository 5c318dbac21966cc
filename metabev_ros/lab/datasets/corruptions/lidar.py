"""LiDAR failures on a point array: pure functions of (P, 5) POINT_COLUMNS in the LiDAR frame.

The LiDAR frame is nuScenes' (x right, y forward, z up). Each returns a new array and keeps the
order of the points that stay. Sweeps that were merged into one frame must be reduced before the
merge where elevation matters (`reduce_beams`).
"""

from __future__ import annotations

import enum

import numpy as np

from metabev_ros.errors import ConfigError
from metabev_ros.geometry import points_in_box, transform_points

# HDL-32E, as in nuScenes and datasets/synthetic/rig.py: 32 rings from -30.67 to +10.67 degrees.
RING_ELEVATIONS = np.deg2rad(np.linspace(-30.67, 10.67, 32))
# BEVFusion `reduce_LiDAR_beams`: beam 0 is the highest.
BEAM_TOP, BEAM_STEP, BEAM_SHIFT = 0.1862, 0.023275, 0.012  # radians
OBJECT_MARGIN = 0.1  # metres: five times the range noise of the synthetic LiDAR
CLEAR_RANGE = 80.0  # metres at which the weakest return is still seen in clear air
NEAREST_RETURN = 1.5  # metres


class BeamChoice(enum.Enum):
    """Choice of the beams that remain.

    BEVFUSION: the code that MetaBEV builds on: 16 = every second one, 4 and 1 = beside the
    horizon. EVENLY_SPACED: MultiCorrupt's, over the whole field.
    """

    BEVFUSION = 'bevfusion'
    EVENLY_SPACED = 'evenly_spaced'


# Beam ids from the top. 8 is not in BEVFusion's code: our choice is the eight odd ids around
# its four, so that the sets are nested.
BEVFUSION_BEAMS = {
    16: tuple(range(1, 32, 2)),
    8: tuple(range(3, 18, 2)),
    4: (7, 9, 11, 13),
    1: (9,),
}
# Ring ids from the bottom. 8 and 4 are MultiCorrupt's; 1 is our choice: the ring that is in all
# larger sets and sees the ground 13 m away (-8 degrees).
EVENLY_SPACED_RINGS = {
    16: tuple(range(1, 32, 2)),
    8: tuple(range(1, 32, 4)),
    4: (1, 9, 17, 25),
    1: (17,),
}


def azimuths(points: np.ndarray) -> np.ndarray:
    """(P,) float64 degrees in (-180, 180]: 0 forward (+y), positive to the right (+x)."""
    return np.rad2deg(np.arctan2(points[:, 0].astype(np.float64), points[:, 1]))


def elevations(points: np.ndarray) -> np.ndarray:
    """(P,) float64 radians above the LiDAR's horizontal plane; 0 for a point at the origin."""
    xyz = points[:, :3].astype(np.float64)
    distance = np.linalg.norm(xyz, axis=1)
    return np.arcsin(np.divide(xyz[:, 2], distance, out=np.zeros(len(xyz)), where=distance > 0))


def limit_field(points: np.ndarray, half_angle_deg: float, centre_deg: float = 0.0) -> np.ndarray:
    """Keep the sector centre +- half angle, borders included (MetaBEV's LF).

    A lost sector is the same with the other centre: losing 60 degrees around the right (90) is
    `limit_field(points, 150, -90)`.

    Args:
        half_angle_deg: 0..180; 180 keeps everything.
        centre_deg: as `azimuths`.

    Raises:
        ConfigError: for another half angle.
    """
    if not 0 <= half_angle_deg <= 180:
        raise ConfigError('limit_field.half_angle_deg', '0..180', repr(half_angle_deg))
    offset = (azimuths(points) - centre_deg + 180) % 360 - 180
    return points[np.abs(offset) <= half_angle_deg]


def remove_objects(
    points: np.ndarray,
    ego_from_lidar: np.ndarray,
    boxes: np.ndarray,
    rate: float,
    rng: np.random.Generator,
    margin: float = OBJECT_MARGIN,
) -> np.ndarray:
    """Delete all points of some objects (MetaBEV's MO).

    The paper's "rate" is ambiguous: here each object is hit on its own with probability `rate`
    and then loses all of its points. (The cited toolkit draws once per frame, with 0.5.) One
    number is drawn per box whatever the rate, so a higher rate with the same generator state
    removes a superset.

    Args:
        ego_from_lidar: (4, 4).
        boxes: (M, >=7) in the ego frame.
        rate: 0..1.
        margin: the box grows by this on all sides, metres: range noise puts points of an
            object's surface outside of its box.

    Raises:
        ConfigError: for a rate that is no probability.
    """
    _probability('remove_objects.rate', rate)
    hit = rng.random(len(boxes)) < rate
    if not hit.any() or not len(points):
        return points.copy()
    cloud = transform_points(ego_from_lidar, points[:, :3].astype(np.float64))
    inside = np.zeros(len(points), bool)
    for box in np.asarray(boxes, np.float64)[hit]:
        grown = np.concatenate([box[:3], box[3:6] + 2 * margin, box[6:7]])
        near = np.flatnonzero(np.abs(cloud[:, 0] - box[0]) <= np.hypot(*grown[3:5]) / 2)
        inside[near] |= points_in_box(cloud[near], grown)
    return points[~inside]


def reduce_beams(points: np.ndarray, beams: int, choice: BeamChoice) -> np.ndarray:
    """Keep 16, 8, 4 or 1 of 32 beams; 32 keeps everything.

    A point's beam comes from its elevation, as in BEVFusion. Its beam i reaches (open interval)
    from b_i - 0.012 to b_(i-1) - 0.012 rad with b_0 = 0.1862 and b_i = b_(i-1) - 0.023275.
    The other choice takes the nearest ring.

    Raises:
        ConfigError: for another number of beams.
    """
    table = BEVFUSION_BEAMS if choice is BeamChoice.BEVFUSION else EVENLY_SPACED_RINGS
    if beams == len(RING_ELEVATIONS):
        return points.copy()
    if beams not in table:
        raise ConfigError('reduce_beams.beams', f'32 or one of {sorted(table)}', repr(beams))
    elevation = elevations(points)
    if choice is BeamChoice.EVENLY_SPACED:
        return points[np.isin(nearest_rings(elevation), table[beams])]
    keep = np.zeros(len(points), bool)
    for beam in table[beams]:
        low = BEAM_TOP - beam * BEAM_STEP - BEAM_SHIFT
        keep |= (elevation > low) & (elevation < low + BEAM_STEP)
    return points[keep]


def nearest_rings(elevation: np.ndarray) -> np.ndarray:
    """(P,) int64 index into RING_ELEVATIONS (0 the lowest) of elevations in radians."""
    step = RING_ELEVATIONS[1] - RING_ELEVATIONS[0]
    ring = np.rint((elevation - RING_ELEVATIONS[0]) / step).astype(np.int64)
    return np.clip(ring, 0, len(RING_ELEVATIONS) - 1)


def drop_points(points: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Remove `share` of the points, chosen evenly (MultiCorrupt's points reducing).

    Raises:
        ConfigError: for a share outside 0..1.
    """
    _probability('drop_points.share', share)
    count = len(points) - round(share * len(points))
    return points[np.sort(rng.permutation(len(points))[:count])]


def fog(
    points: np.ndarray, visibility_m: float, rng: np.random.Generator, backscatter: float = 0.3
) -> np.ndarray:
    """Attenuation and near clutter of fog; a simple form of the model of Hahner et al. 2021.

    Two-way transmission is exp(-2 a r) with a = ln(50) / visibility (Koschmieder). A return whose
    (intensity + 1) / r^2, so attenuated, is weaker than that of intensity 0 at CLEAR_RANGE in
    clear air is lost; `backscatter` of the lost rays return from the fog instead: at
    NEAREST_RETURN + an exponential distance of mean 1 / (2 a), weakly.

    Args:
        visibility_m: meteorological visibility, > 0.

    Raises:
        ConfigError: for a visibility that is not positive.
    """
    if not visibility_m > 0:
        raise ConfigError('fog.visibility_m', 'a positive distance', repr(visibility_m))
    attenuation = np.log(50.0) / visibility_m
    xyz = points[:, :3].astype(np.float64)
    distance = np.maximum(np.linalg.norm(xyz, axis=1), 1e-6)
    transmission = np.exp(-2 * attenuation * distance)
    seen = (points[:, 3] + 1) * transmission / distance**2 >= CLEAR_RANGE**-2
    clutter = ~seen & (rng.random(len(points)) < backscatter)
    near = NEAREST_RETURN + rng.exponential(0.5 / attenuation, len(points))
    result = points.astype(np.float32)
    result[:, 3] = points[:, 3] * transmission
    clutter &= near < distance
    result[clutter, :3] = (xyz * (near / distance)[:, None])[clutter]
    result[clutter, 3] = rng.uniform(0, 10, len(points))[clutter]
    return result[seen | clutter]


def _probability(where: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(where, '0..1', repr(value))
