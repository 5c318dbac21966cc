import itertools

import numpy as np
import pytest

from metabev_ros.config import LidarBranchConfig, LidarEncoder, ModelConfig, load_config
from metabev_ros.config.sparse import SPARSE_STEPS, sparse_shapes
from metabev_ros.geometry import BevGrid
from metabev_ros.preprocess.neighbours import build_tables, strided_table, submanifold_table

CONFIG = ModelConfig(
    bev_grid=BevGrid(-2.4, 2.4, -1.6, 1.6, 0.8),
    lidar=LidarBranchConfig(encoder=LidarEncoder.SPARSE, bev_channels=256),
)


def sites(shape, share, seed=0) -> np.ndarray:
    """(V, 3) rising coordinates of a random share of all cells, corners among them."""
    taken = np.random.default_rng(seed).random(shape) < share
    taken[0, 0, 0] = taken[-1, -1, -1] = taken[0, -1, 0] = True
    return np.argwhere(taken)


@pytest.mark.parametrize(
    ('shape', 'share'), [((5, 7, 6), 0.3), ((3, 4, 5), 1.0), ((9, 12, 14), 0.02), ((1, 1, 1), 1.0)]
)
def test_submanifold_tables_equal_a_look_up_of_every_neighbour(shape, share):
    coords = sites(shape, share)
    row = {tuple(c): i for i, c in enumerate(coords.tolist())}
    expected = [
        [
            row.get(tuple(np.add(c, offset)), len(coords))
            for offset in itertools.product((-1, 0, 1), repeat=3)
        ]
        for c in coords.tolist()
    ]
    table = submanifold_table(coords, shape)
    np.testing.assert_array_equal(table, expected)
    assert table.dtype == np.int32


@pytest.mark.parametrize('step', SPARSE_STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize(('shape', 'share'), [((5, 8, 6), 0.3), ((11, 12, 14), 0.02)])
def test_strided_tables_equal_a_look_up_under_every_kernel(step, shape, share):
    coords = sites(shape, share)
    row = {tuple(c): i for i, c in enumerate(coords.tolist())}
    expected = {}
    for out in itertools.product(*map(range, step.output_shape(shape))):
        corner = np.array(out) * step.stride - step.padding
        under = [
            row.get(tuple(corner + offset), len(coords))
            for offset in itertools.product(*map(range, step.kernel))
        ]
        if min(under) < len(coords):
            expected[out] = under
    out_coords, table = strided_table(coords, shape, step)
    assert [tuple(c) for c in out_coords.tolist()] == list(expected)
    np.testing.assert_array_equal(table, list(expected.values()))


def test_shapes_are_those_of_the_paper_at_full_size(repo_root):
    base = load_config(ModelConfig, repo_root / 'config' / 'models' / 'metabev_base.yaml')
    assert sparse_shapes(base) == (
        (41, 1440, 1440),
        (21, 720, 720),
        (11, 360, 360),
        (5, 180, 180),
        (2, 180, 180),
    )


def test_every_voxel_reaches_its_own_cell_of_the_dense_map():
    """A lone voxel's outputs lie in the cells whose receptive field holds it, y turned back."""
    for y, x in ((0, 0), (13, 30), (31, 47)):
        tables = build_tables(np.array([[0, 20, y, x]], np.int32), CONFIG)
        cells = tables['voxel_table'].reshape(2, 4, 6)
        _, rows, columns = np.nonzero(cells < len(tables['out_table']))
        assert (31 - y) // 8 in rows and x // 8 in columns
        assert np.abs(rows - (31 - y) // 8).max() <= 1
        assert np.abs(columns - x // 8).max() <= 1


def test_all_tables_refer_to_rows_that_exist():
    shape = sparse_shapes(CONFIG)[0]
    coords = sites(shape, 0.01)
    tables = build_tables(np.insert(coords, 0, 0, axis=1).astype(np.int32), CONFIG)
    count = len(coords)
    for stage, step in zip(
        ('subm1_table', 'subm2_table', 'subm3_table', 'subm4_table'), SPARSE_STEPS, strict=True
    ):
        assert len(tables[stage]) == count
        for name in (stage, step.name):
            assert tables[name].dtype == np.int32
            assert tables[name].min() == 0 and tables[name].max() <= count
        count = len(tables[step.name])
    assert sorted(set(tables['voxel_table'].tolist()) - {count}) == list(range(count))


def test_the_voxel_that_is_nowhere_has_no_neighbour_and_fills_no_cell():
    tables = build_tables(np.array([[0, -1, 0, 0]], np.int32), CONFIG)
    assert all((table == 1).all() for table in tables.values())
    assert len(tables['voxel_table']) == 2 * 4 * 6
