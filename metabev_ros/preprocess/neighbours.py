"""Voxels -> neighbour tables: everything about sparse convolutions that is not arithmetic.

The network turns a table into Gather + matrix product, so that training, ONNX Runtime and
TensorRT need no sparse convolution of their own. Rows of a table are output sites, columns the
sites under the kernel in (z, y, x) order, entries rows of the input; the number of input rows
stands for "no neighbour".
"""

from __future__ import annotations

import numpy as np

from metabev_ros.config import ModelConfig
from metabev_ros.config.sparse import (
    SPARSE_STAGES,
    SPARSE_STEPS,
    SUBMANIFOLD_OFFSETS,
    SparseStep,
    sparse_shapes,
)


def build_tables(voxel_coords: np.ndarray, config: ModelConfig) -> dict[str, np.ndarray]:
    """All tables of the sparse encoder, int32.

    Args:
        voxel_coords: (V, 4) of one sample, as `voxels.build_voxels` gives them.

    Returns:
        `subm1_table` .. `subm4_table` (V_i, 27): submanifold convolutions of stage i.
        `down1_table` .. `down3_table` (V_i+1, 27) and `out_table` (V_out, 3): strided ones.
        `voxel_table` (Z Y X of the output): row of the output for every cell of the dense map,
        V_out where there is none; y rises with the rows of the BEV grid.
    """
    shapes = sparse_shapes(config)
    if voxel_coords[0, 1] < 0:
        return _empty_tables(shapes[-1])
    coords, tables = voxel_coords[:, 1:].astype(np.int64), {}
    for stage, step, shape in zip(SPARSE_STAGES, SPARSE_STEPS, shapes[:-1], strict=True):
        tables[stage] = submanifold_table(coords, shape)
        coords, tables[step.name] = strided_table(coords, shape, step)
    depth, rows, columns = shapes[-1]
    dense = np.full((depth, rows, columns), len(coords), np.int32)
    dense[coords[:, 0], rows - 1 - coords[:, 1], coords[:, 2]] = np.arange(len(coords))
    return {**tables, 'voxel_table': dense.reshape(-1)}


def _empty_tables(output_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """One row in every stage that has no neighbour, not even itself, and is in no cell."""
    tables = {stage: np.ones((1, SUBMANIFOLD_OFFSETS), np.int32) for stage in SPARSE_STAGES}
    tables |= {step.name: np.ones((1, step.offsets), np.int32) for step in SPARSE_STEPS}
    return {**tables, 'voxel_table': np.ones(int(np.prod(output_shape)), np.int32)}


def submanifold_table(coords: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Neighbours of every site in its 3x3x3 surroundings; sites stay what they are.

    Args:
        coords: (V, 3) int64 z, y, x in rising order, no duplicates.
        shape: (Z, Y, X).

    Returns:
        (V, 27) int32, V where there is no neighbour.
    """
    count = len(coords)
    # One empty cell around the grid: a step over its border meets no site of the next row.
    row_step, layer_step = shape[2] + 2, (shape[1] + 2) * (shape[2] + 2)
    key = coords[:, 0] * layer_step + coords[:, 1] * row_step + coords[:, 2]
    rows = np.arange(count, dtype=np.int32)
    table = np.full((count + 1, SUBMANIFOLD_OFFSETS), count, np.int32)  # last row: a dust bin
    table[:count, 13] = rows
    padded = np.append(key, np.iinfo(np.int64).max)
    # Sites come in rising order, so one search per line of three finds all three. The other half
    # of the surroundings is the mirror image: b is after a where a is before b.
    for column, offset in (
        (0, -layer_step - row_step),
        (3, -layer_step),
        (6, -layer_step + row_step),
        (9, -row_step),
        (12, 0),
    ):
        target = key + (offset - 1)
        position = np.searchsorted(key, target)
        for step in range(3 if column < 12 else 1):
            hit = padded[position] == target + step
            table[:count, column + step] = np.where(hit, position, count)
            table[np.where(hit, position, count), 26 - column - step] = rows
            position = position + hit
    return np.ascontiguousarray(table[:count])


def strided_table(
    coords: np.ndarray, shape: tuple[int, int, int], step: SparseStep
) -> tuple[np.ndarray, np.ndarray]:
    """A strided sparse convolution: an output is a site where any input is under its kernel.

    Args:
        coords: (V, 3) int64 z, y, x.
        shape: (Z, Y, X) of the input.

    Returns:
        output coordinates (V', 3) int64 in rising order and the table (V', offsets) int32.
    """
    out_shape = step.output_shape(shape)
    axes = [_outputs_along(coords[:, axis], out_shape[axis], step, axis) for axis in range(3)]
    keys: list[np.ndarray] = []
    sources: list[np.ndarray] = []
    offsets: list[np.ndarray] = []
    for z, (hit_z, out_z) in enumerate(axes[0]):
        for y, (hit_y, out_y) in enumerate(axes[1]):
            hit_zy = hit_z & hit_y
            plane = (out_z * out_shape[1] + out_y) * out_shape[2]
            for x, (hit_x, out_x) in enumerate(axes[2]):
                source = np.flatnonzero(hit_zy & hit_x)
                keys.append(plane[source] + out_x[source])
                sources.append(source)
                offset = (z * step.kernel[1] + y) * step.kernel[2] + x
                offsets.append(np.full(len(source), offset))
    sites, row = np.unique(np.concatenate(keys), return_inverse=True)
    table = np.full((len(sites), step.offsets), len(coords), np.int32)
    table[row, np.concatenate(offsets)] = np.concatenate(sources)
    z, rest = np.divmod(sites, out_shape[1] * out_shape[2])
    return np.stack([z, *np.divmod(rest, out_shape[2])], 1), table


def _outputs_along(
    coordinate: np.ndarray, size: int, step: SparseStep, axis: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per kernel offset of one axis: whether an output has the input there, and which one."""
    outputs: list[tuple[np.ndarray, np.ndarray]] = []
    for offset in range(step.kernel[axis]):
        output, rest = np.divmod(coordinate + (step.padding[axis] - offset), step.stride[axis])
        outputs.append(((rest == 0) & (output >= 0) & (output < size), output))
    return outputs
