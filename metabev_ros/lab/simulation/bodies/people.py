"""People on foot: walking, standing, sitting, pushing; built from limbs about a skeleton."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.solids import Finish
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY, SECONDARY, Mesh

TOP = Finish(Material.CLOTH, (240, 240, 240), PRIMARY)
TROUSERS = Finish(Material.CLOTH, (235, 235, 235), SECONDARY)
SHOES = Finish(Material.RUBBER, (34, 32, 32))
SKINS = tuple(
    Finish(Material.SKIN, tone)
    for tone in ((224, 180, 150), (198, 150, 118), (140, 96, 70), (88, 58, 44))
)
_SHELL = Finish(Material.PLASTIC, (235, 235, 235), SECONDARY)
_VISOR = Finish(Material.PLASTIC, (22, 24, 28))
HAIRS = tuple(
    Finish(Material.CLOTH, tone) for tone in ((34, 26, 22), (92, 62, 40), (190, 160, 105))
)


@dataclass(frozen=True)
class Look:
    """Build and clothes of somebody.

    Attributes:
        height: metres, from the soles to the crown.
        girth: of the trunk, 1 for slim.
        skirt: length below the hips as a part of the legs; 0 for trousers.
        coat: the upper garment goes on down to there, as a part of the legs.
        skin: row of `SKINS`; `hair`: row of `HAIRS`.
        long_hair: hair down to the shoulders.
        hat: 'none', 'cap', 'brim', 'helmet', 'full helmet' or 'hard hat'.
        vest: a retro-reflective vest over the garment.
    """

    height: float = 1.76
    girth: float = 1.0
    skirt: float = 0.0
    coat: float = 0.12
    skin: int = 0
    hair: int = 0
    long_hair: bool = False
    hat: str = 'none'
    vest: bool = False
    bare_arms: bool = False
    bare_legs: bool = False


@dataclass(frozen=True)
class Pose:
    """Angles in radians, positive forward; left before right.

    Attributes:
        thighs: from straight down; `knees`: bent back from the thigh.
        arms: upper arms from straight down; `elbows`: bent forward from the upper arm.
        lean: of the trunk.
        spread: of the arms sideways.
        stance: half the distance between the feet as a part of the height.
    """

    thighs: tuple[float, float] = (0.0, 0.0)
    knees: tuple[float, float] = (0.04, 0.04)
    arms: tuple[float, float] = (0.05, 0.05)
    elbows: tuple[float, float] = (0.2, 0.2)
    lean: float = 0.02
    spread: float = 0.09
    stance: float = 0.052


def walking(phase: float, stride: float = 1.0) -> Pose:
    """Pose at a part 0..1 of the cycle of two steps.

    Args:
        stride: 1 for an adult in no hurry.
    """
    angle = 2 * np.pi * (phase + np.array([0.0, 0.5]))
    thighs = stride * (0.34 * np.cos(angle) + 0.05)
    # The knee bends while the leg swings forward, and a little under load.
    swing = np.clip(np.sin(angle + np.pi + 0.5), 0, 1)
    knees = 0.08 + 0.95 * min(stride, 1.3) * swing**1.5
    arms = -stride * 0.3 * np.cos(angle)
    elbows = 0.25 + 0.25 * np.clip(np.cos(angle + np.pi), 0, 1)
    pairs = [tuple(float(each) for each in pair) for pair in (thighs, knees, arms, elbows)]
    return Pose(pairs[0], pairs[1], pairs[2], pairs[3], 0.04)  # pyright: ignore[reportArgumentType]


def _ahead(angle: float, length: float) -> np.ndarray:
    """Vector down along a limb that swings forward by an angle."""
    return np.array([np.sin(angle) * length, 0.0, -np.cos(angle) * length])


def _leg(look: Look, hip: np.ndarray, thigh: float, knee: float) -> tuple[list[Mesh], float]:
    """Meshes of a leg, and the height of its sole."""
    h = look.height
    middle = hip + _ahead(thigh, 0.235 * h)
    shin = thigh - knee
    ankle = middle + _ahead(shin, 0.235 * h)
    calf = middle + (ankle - middle) * 0.35 - np.array([np.cos(shin), 0, np.sin(shin)]) * 0.006 * h
    cloth = SKINS[look.skin] if look.bare_legs else TROUSERS
    radii = np.array([0.052, 0.047, 0.035, 0.034, 0.026]) * h * (0.55 + 0.45 * look.girth)
    path = np.stack([hip, hip + (middle - hip) * 0.5, middle, calf, ankle])
    tilt = float(np.clip(shin, -0.9, 0.5)) * 0.75
    foot = solids.turned_by(
        solids.box((-0.04 * h, -0.024 * h, -0.035 * h), (0.105 * h, 0.024 * h, 0.012 * h), SHOES,
                   0.012 * h), pitch=-tilt)  # fmt: skip
    foot = solids.shifted(foot, *ankle)
    return [solids.tube(path, radii, cloth, 7), foot], float(foot.bounds[0][2])


def _arm(look: Look, shoulder: np.ndarray, arm: float, elbow: float, out: float) -> list[Mesh]:
    h = look.height
    side = np.array([0.0, out, 0.0])
    bend = shoulder + _ahead(arm, 0.165 * h) + side * 0.165 * h
    wrist = bend + _ahead(arm + elbow, 0.145 * h) + side * 0.05 * h
    hand = wrist + _ahead(arm + elbow, 0.07 * h)
    skin = SKINS[look.skin]
    radii = np.array([0.012, 0.03, 0.034, 0.029, 0.025, 0.019]) * h * (0.6 + 0.4 * look.girth)
    top = shoulder - _ahead(arm, 0.03 * h) - np.array([0.0, np.sign(out) * 0.012 * h, 0.0])
    high = shoulder - _ahead(arm, 0.015 * h)
    path = np.stack([top, high, shoulder, (shoulder + bend) / 2, bend, wrist])
    sleeve = (TOP, skin)
    cells = [0, 0, 0, 1, 1] if look.bare_arms else 0
    return [
        solids.tube(path, radii, sleeve, 6, cells),
        solids.tube(np.stack([wrist, (wrist + hand) / 2, hand]), [0.017 * h, 0.023 * h, 0.01 * h],
                    skin, 5),
    ]  # fmt: skip


def _trunk(look: Look, pelvis: np.ndarray, lean: float) -> tuple[Mesh, np.ndarray]:
    """Hips to neck, and the place of the neck's foot."""
    h, g = look.height, look.girth
    up = np.array([np.sin(lean), 0.0, np.cos(lean)])
    # place along the spine, depth and half-width as parts of the height
    rows = np.array(
        [
            (-0.035, 0.055, 0.075), (0.0, 0.066 * g, 0.092), (0.07, 0.06 * g, 0.086 * g**0.5),
            (0.15, 0.064 * g, 0.094), (0.22, 0.068, 0.108), (0.275, 0.058, 0.112),
            (0.305, 0.042, 0.085), (0.325, 0.03, 0.034),
        ]
    )  # fmt: skip
    orange, strip = Finish(Material.CLOTH, (250, 120, 20)), Finish(Material.RETRO, (225, 225, 200))
    finishes = (TOP, TROUSERS, orange, strip)
    cells = [1, 1, 0, 0, 0, 0, 0]
    if look.vest:
        places = np.array([-0.035, 0.0, 0.05, 0.08, 0.13, 0.16, 0.22, 0.275, 0.305, 0.325])
        rows = np.column_stack([np.interp(places, rows[:, 0], row) for row in rows.T])
        cells = [1, 2, 3, 2, 3, 2, 2, 2, 0]
    elif look.coat > 0.1:
        cells = [0] * 7
    path = pelvis + rows[:, :1] * h * up
    return solids.tube(path, rows[:, 1:] * h, finishes, 10, cells), pelvis + 0.3 * h * up


def _head(look: Look, neck: np.ndarray) -> list[Mesh]:
    h = look.height
    skin, hair = SKINS[look.skin], HAIRS[look.hair]
    centre = neck + np.array([0.018, 0, 0.113]) * h
    cells = np.zeros((6, 8), int)
    cells[4:], cells[2:, 3:6], cells[3:, 2:7] = 1, 1, 1
    radii = np.array([0.056, 0.045, 0.066]) * h
    parts = [
        solids.tube(np.stack([neck - [0, 0, 0.01 * h], centre - [0, 0, 0.03 * h]]),
                    0.03 * h, skin, 6),
        solids.ellipsoid(centre, radii, (skin, hair), 8, 6, cells),
    ]  # fmt: skip
    if look.long_hair:
        low = centre + np.array([-0.03, 0, -0.055]) * h
        parts.append(solids.ellipsoid(low, np.array([0.035, 0.05, 0.085]) * h, hair, 6, 4))
    if look.hat != 'none':
        parts += _hat(look, centre, radii)
    return parts


def _hat(look: Look, centre: np.ndarray, radii: np.ndarray) -> list[Mesh]:
    h = look.height
    if look.hat == 'full helmet':
        visor = np.zeros((6, 10), int)
        visor[2:4, [0, 1, 9]] = 1
        return [solids.ellipsoid(centre, radii * 1.35, (_SHELL, _VISOR), 10, 6, visor)]
    tones = {'hard hat': (245, 205, 30), 'helmet': (225, 225, 225), 'brim': (176, 150, 110)}
    material = Material.PLASTIC if 'h' in look.hat else Material.CLOTH
    finish = Finish(material, tones.get(look.hat, (40, 44, 60)))
    top = centre + np.array([0, 0, 0.022]) * h
    parts = [solids.ellipsoid(top, radii * np.array([1.12, 1.15, 0.86]), finish, 8, 4)]
    if look.hat in ('brim', 'hard hat'):
        wide = 0.085 if look.hat == 'brim' else 0.07
        disc = [(0.0, 0.0), (wide * h, -0.004 * h), (wide * h, 0.004 * h), (0.0, 0.008 * h)]
        parts.append(solids.shifted(solids.turned(disc, 10, finish), *top))
    if look.hat == 'cap':
        low, high = (0.03 * h, -0.035 * h, -0.006 * h), (0.1 * h, 0.035 * h, 0.004 * h)
        parts.append(solids.shifted(solids.box(low, high, finish), *top))
    return parts


def _skirt(look: Look, hip: float, hem: float, thighs: tuple[float, float], cloth: Finish) -> Mesh:
    """Cloth from the hips down to a hem, wide enough for the legs in it."""
    h = look.height
    length = hem * 0.47 * h
    reach = np.sin(np.array(thighs)) * length
    middle, room = float(reach.mean()), float(np.ptp(reach)) / 2
    share = np.array([-0.1, 0.0, 0.5, 1.0])
    path = np.column_stack([middle * np.clip(share, 0, 1), 0 * share, hip - share * length])
    depth = np.array([0.06, 0.085, 0.092, 0.1]) * h * look.girth
    depth = depth + 1.2 * room * np.clip(share, 0, 1)
    width = np.array([0.085, 0.12, 0.124, 0.126]) * h
    fit = 0.88 if hem < 0.3 else 1.0  # a jacket lies closer than a coat
    return solids.tube(path, fit * np.column_stack([depth, width]), cloth, 10)


def person(look: Look, pose: Pose, grounded: bool = True) -> Mesh:
    """Somebody in metres, facing x, the lower sole on z = 0 if `grounded`, else hips at z = 0."""
    h = look.height
    pelvis = np.zeros(3)
    parts: list[Mesh] = []
    soles = []
    for index, side in enumerate((1.0, -1.0)):
        hip = np.array([0.0, side * pose.stance * h, 0.0])
        meshes, sole = _leg(look, hip, pose.thighs[index], pose.knees[index])
        parts += meshes
        soles.append(sole)
    trunk, neck = _trunk(look, pelvis, pose.lean)
    parts += [trunk, *_head(look, neck)]
    up = neck - pelvis
    for index, side in enumerate((1.0, -1.0)):
        shoulder = pelvis + 0.92 * up + np.array([0.0, side * 0.103 * h, 0.0])
        parts += _arm(look, shoulder, pose.arms[index], pose.elbows[index], side * pose.spread)
    if look.skirt > 0:
        parts.append(_skirt(look, 0.02 * h, look.skirt, pose.thighs, TROUSERS))
    elif look.coat > 0.1 and not look.vest:
        parts.append(_skirt(look, 0.03 * h, look.coat, pose.thighs, TOP))
    return solids.shifted(Mesh.join(parts), z=-min(soles) if grounded else 0.0)


def bust() -> Mesh:
    """A driver from the hips up, hands at the wheel; hips at z = 0."""
    look = Look(1.72, 1.0, skin=1, coat=0.0)
    trunk, neck = _trunk(look, np.zeros(3), -0.25)
    parts = [trunk, *_head(look, neck)]
    for side in (1.0, -1.0):
        shoulder = 0.92 * neck + np.array([0.0, side * 0.19, 0.0])
        parts += _arm(look, shoulder, 0.75, 0.7, 0.0)
    return Mesh.join(parts)
