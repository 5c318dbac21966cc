"""One shape of a class, ready to be stretched over an object's box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metabev_ros.config.yaml import require
from metabev_ros.lab.simulation.meshes import Mesh
from metabev_ros.structures import DETECTION_CLASSES

STILL = -1.0  # phase of a body that does not step or pedal
_LEAST_AREA = 1e-10  # square metres: smaller triangles cannot be hit


@dataclass(frozen=True)
class Body:
    """A mesh in the unit box, with what is needed to choose it for an object.

    Attributes:
        name: unique on the shelf, such as 'adult in a coat, step 3'.
        label: a name of `DETECTION_CLASSES`.
        mesh: -0.5..0.5 along every axis; x forward, y to the left, z up.
        size: (3,) float64 metres, length, width and height of the usual object.
        kind: what the bodies of one object at different times have in common.
        share: part of its class's objects that are of this kind; the sum need not be 1.
        spread: standard deviation of the logarithm of the kind's sizes.
        phase: part of a cycle of walking or pedalling, 0..1, or `STILL`.
        rider: the body includes somebody who rides it.
    """

    name: str
    label: str
    mesh: Mesh
    size: np.ndarray
    kind: str
    share: float = 1.0
    spread: float = 0.05
    phase: float = STILL
    rider: bool = False

    def __post_init__(self) -> None:
        require(
            self.label in DETECTION_CLASSES, 'body.label', ', '.join(DETECTION_CLASSES), self.label
        )
        require(self.share > 0 and self.spread > 0, 'body.share', '> 0', self.share)
        require(bool((np.asarray(self.size) > 0).all()), 'body.size', '> 0 m', self.size)

    @classmethod
    def of(
        cls,
        kind: str,
        label: str,
        mesh: Mesh,
        share: float = 1.0,
        spread: float = 0.05,
        rider: bool = False,
        fit: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Body:
        """A rigid body from a mesh in metres.

        Args:
            fit: the usual object's size as a part of the mesh's, along each axis.
        """
        low, high = mesh.bounds
        usual = np.asarray(high - low, np.float64) * np.array(fit)
        unit = _clipped(without_slivers(mesh).into_unit_box())
        return cls(kind, label, unit, usual, kind, share, spread, STILL, rider)


def without_slivers(mesh: Mesh) -> Mesh:
    """The mesh without triangles that have no area."""
    corners = mesh.vertices[mesh.triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    keep = np.einsum('ij,ij->i', cross, cross) > 4 * _LEAST_AREA**2
    return replace(
        mesh,
        triangles=mesh.triangles[keep],
        material=mesh.material[keep],
        colour=mesh.colour[keep],
        slot=mesh.slot[keep],
    )


def steps(
    kind: str,
    label: str,
    meshes: list[Mesh],
    phases: list[float],
    share: float = 1.0,
    spread: float = 0.05,
    rider: bool = False,
    fit: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> list[Body]:
    """Bodies of one kind at several phases, in one common box.

    One box for all keeps somebody from swelling and shrinking as they walk.

    Args:
        meshes: in metres, standing on z = 0.
        phases: of the meshes; `STILL` for one at rest.
    """
    lows, highs = zip(*(mesh.bounds for mesh in meshes), strict=True)
    low, high = np.min(lows, 0), np.max(highs, 0)
    size = np.asarray(high - low, np.float64)
    matrix = np.diag([*(1.0 / size), 1.0])
    matrix[:3, 3] = -(low + high) / 2 / size
    return [
        Body(
            f'{kind}, step {index}',
            label,
            _clipped(without_slivers(mesh).moved(matrix)),
            size * np.array(fit),
            kind,
            share,
            spread,
            phase,
            rider,
        )
        for index, (mesh, phase) in enumerate(zip(meshes, phases, strict=True))
    ]


def _clipped(mesh: Mesh) -> Mesh:
    """Without the last bit by which rounding can leave the unit box."""
    return replace(mesh, vertices=np.clip(mesh.vertices, -0.5, 0.5))
