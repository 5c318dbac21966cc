"""The own vehicle as the sensors on its roof see it."""

from __future__ import annotations

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.body import without_slivers
from metabev_ros.lab.simulation.bodies.car_shell import CarShape
from metabev_ros.lab.simulation.bodies.cars import OWN_SHAPES, car
from metabev_ros.lab.simulation.bodies.solids import DARK, GREY, STEEL
from metabev_ros.lab.simulation.meshes import Mesh

_COLOURS = ((232, 232, 230), (30, 31, 34), (120, 124, 130), (160, 26, 30), (36, 62, 120))


def own_vehicle(box: tuple[float, float, float, float, float], rng: np.random.Generator) -> Mesh:
    """A car with a rack on its roof that fills a box of the ego frame.

    Args:
        box: rear, front, right, left and top in metres; the ground is z = 0.
        rng: draws type, rack and colour.

    Raises:
        ConfigError: the box is empty.
    """
    x0, x1, y0, y1, top = box
    require(x0 < x1 and y0 < y1 and top > 0, 'own_vehicle.box', 'rear < front, right < left', box)
    shape = OWN_SHAPES[rng.integers(len(OWN_SHAPES))]
    parts = [car(shape, driver=True), *_RACKS[rng.integers(len(_RACKS))](shape)]
    mesh = without_slivers(_painted(Mesh.join(parts), _COLOURS[rng.integers(len(_COLOURS))]))
    matrix = np.diag([x1 - x0, y1 - y0, top, 1.0])
    matrix[:3, 3] = (x0 + x1) / 2, (y0 + y1) / 2, top / 2
    return mesh.into_unit_box().moved(matrix)


def _painted(mesh: Mesh, colour: tuple[int, int, int]) -> Mesh:
    """The mesh with both of an object's own colours set: nobody draws them later."""
    own = mesh.slot > 0
    shade = mesh.colour.astype(np.float32) * np.where(own[:, None, None], colour, 255) / 255
    return Mesh(
        mesh.vertices, mesh.triangles, mesh.material, shade.astype(np.uint8), 0 * mesh.slot
    )


def _span(shape: CarShape) -> tuple[float, float, float]:
    """Rear and front end and half-width of the roof, metres."""
    return shape.rear[0] + 0.05, shape.windscreen[1] - 0.05, 0.72 * shape.width / 2


def _bars(shape: CarShape) -> list[Mesh]:
    """Two cross-bars on feet."""
    rear, front, half = _span(shape)
    z, parts = shape.height, []
    for x in (rear + 0.25 * (front - rear), rear + 0.8 * (front - rear)):
        parts.append(solids.box((x, -half, z + 0.04), (x + 0.06, half, z + 0.08), STEEL))
        parts.append(
            solids.both_sides(
                solids.box((x, half - 0.08, z - 0.06), (x + 0.06, half, z + 0.06), DARK)
            )
        )
    return parts


def _rails(shape: CarShape) -> list[Mesh]:
    """Cross-bars with two rails along, as carry a frame of cameras."""
    rear, front, half = _span(shape)
    rail = solids.box((rear, half - 0.12, shape.height + 0.08), (front, half - 0.08,
                      shape.height + 0.13), STEEL)  # fmt: skip
    return [*_bars(shape), solids.both_sides(rail)]


def _plate(shape: CarShape) -> list[Mesh]:
    """Rails with a plate and a case of electronics behind the sensors."""
    rear, front, half = _span(shape)
    z, length = shape.height + 0.09, front - rear
    plate = solids.box((rear + 0.25 * length, -0.6 * half, z), (rear + 0.9 * length, 0.6 * half,
                       z + 0.02), GREY)  # fmt: skip
    case = solids.box((rear + 0.02, -0.5 * half, shape.height - 0.02), (rear + 0.22 * length,
                      0.5 * half, z + 0.05), DARK, 0.03)  # fmt: skip
    return [*_rails(shape), plate, case]


_RACKS = (_bars, _rails, _plate)
