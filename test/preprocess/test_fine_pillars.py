import numpy as np
import pytest

from metabev_ros.config import LidarBranchConfig, LidarEncoder
from metabev_ros.geometry import BevGrid
from metabev_ros.preprocess.fine_pillars import build_fine_pillars
from metabev_ros.structures import Sweep

BEV = BevGrid(-12.8, 12.8, -12.8, 12.8, 0.8)
GRID = BEV.with_cell(0.2)
CONFIG = LidarBranchConfig(
    encoder=LidarEncoder.FINE_PILLAR, pillar=0.2, points_per_pillar=4, max_pillars=5000
)
INTENSITY, LAG, ABOVE_GROUND = 3, 4, 8


def built(points: np.ndarray, config: LidarBranchConfig = CONFIG) -> dict[str, np.ndarray]:
    return build_fine_pillars(Sweep(0, points.astype(np.float32), np.eye(4)), config, GRID)


def scattered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low, high = [-13, -13, -1, 0, 0], [13, 13, 3, 255, 0.3]
    return rng.uniform(low, high, (count, 5))


def test_every_bev_cell_leads_to_the_points_that_lie_in_it_and_to_no_others() -> None:
    points = scattered(300)
    tables = built(points)
    cells = BEV.cell_index(points[:, :2].astype(np.float32))
    for cell in range(BEV.rows * BEV.columns):
        row = tables['bev_table'][cell]
        found: set[tuple[float, float]] = set()
        if row < len(tables['coarse_table']):
            for fine in tables['coarse_table'][row]:
                for pillar in (
                    tables['fine_table'][fine] if fine < len(tables['fine_table']) else ()
                ):
                    if pillar < len(tables['point_table']):
                        for place in tables['points'][tables['point_table'][pillar], :2] * 25:
                            found.add((round(float(place[0]), 3), round(float(place[1]), 3)))
        lying = {(round(float(x), 3), round(float(y), 3)) for x, y in points[cells == cell, :2]}
        assert len(found) == len(lying)
        assert all(min(abs(f[0] - x) + abs(f[1] - y) for f in found) < 2e-3 for x, y in lying)


def test_neighbours_are_those_of_the_grid_and_symmetric() -> None:
    tables = built(scattered(2000))
    for name in ('fine_neighbours', 'coarse_neighbours'):
        table = tables[name]
        assert (table[:, 4] == np.arange(len(table))).all()
        row, column = np.nonzero(table < len(table))
        assert (table[table[row, column], 8 - column] == row).all()
    assert (tables['coarse_neighbours'] < len(tables['coarse_neighbours'])).mean() > 0.5


def test_a_full_pillar_keeps_points_of_every_sweep() -> None:
    points = np.tile([1.05, 1.05, 0.5, 10.0, 0.0], (30, 1))
    points[10:20, LAG], points[20:, LAG] = 0.1, 0.2
    lags = built(points)['points'][:, LAG].astype(np.float64) / 5
    assert len(lags) == CONFIG.points_per_pillar
    assert set(np.round(lags, 2).tolist()) == {0.0, 0.1, 0.2}


@pytest.mark.parametrize('slope', [0.0, 0.05])
def test_height_above_ground_knows_no_mounting_height_no_slope_and_no_false_return(
    slope: float,
) -> None:
    rng = np.random.default_rng(1)
    ground = np.zeros((20_000, 5))
    ground[:, :2] = rng.uniform(-12, 12, (len(ground), 2))
    roof = ground[:500].copy()
    roof[:, 2] = 1.5
    points = np.concatenate([ground, roof])
    points[:, 2] += slope * points[:, 0] - 0.7
    below = np.array([[3.0, 3.0, -2.9, 0, 0], [-5.0, 2.0, -2.9, 0, 0]])
    tables = built(np.concatenate([points, below]))
    # The first pillar's points follow by x and y, so heights are compared by place.
    features = tables['points']
    x, y, z = (features[:, :3] * [25, 25, 1]).T
    is_roof = z - (slope * x - 0.7) > 1
    inside = (np.abs(x) < 10) & (np.abs(y) < 10) & (z > -2.5)
    assert np.abs(features[is_roof & inside, ABOVE_GROUND] - 1.5).max() < 0.3
    assert np.abs(features[~is_roof & inside, ABOVE_GROUND]).max() < 0.3


def test_intensity_is_companded_and_clipped() -> None:
    points = scattered(4)
    points[:, :2] = [[0.1, 0.1], [1.1, 1.1], [2.1, 2.1], [3.1, 3.1]]
    points[:, INTENSITY] = [0, 4, 255, 60_000]
    tables = built(points)
    order = np.argsort(tables['points'][:, 0])
    values = tables['points'][order, INTENSITY]
    np.testing.assert_allclose(values, [0, np.log(5) / np.log(256), 1, 1], atol=1e-6)


def test_too_many_pillars_keep_the_nearest() -> None:
    few = LidarBranchConfig(
        encoder=LidarEncoder.FINE_PILLAR, pillar=0.2, points_per_pillar=4, max_pillars=50
    )
    tables = built(scattered(2000), few)
    assert len(tables['point_table']) == 50
    kept = np.hypot(*(tables['points'][:, :2] * 25).T)
    assert kept.max() < 2.5


@pytest.mark.parametrize('points', [np.zeros((0, 5)), np.array([[90.0, 0, 0, 0, 0]])])
def test_nothing_in_the_grid_gives_rows_that_nothing_refers_to(points: np.ndarray) -> None:
    tables = built(points)
    assert (tables['bev_table'] == len(tables['coarse_table'])).all()
    assert all(len(table) >= 1 for table in tables.values())
