"""Tables name every lifted point once, in its cell; those of a new calibration are waited for."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import math
import threading
import time
import weakref

import numpy as np
import pytest

from metabev_ros.config import CameraBranchConfig
from metabev_ros.geometry import BevGrid, rigid_transform, rotation_z
from metabev_ros.preprocess.lift_splat import ANSWERS, BackgroundTables, LiftSplatTables
from metabev_ros.structures import CameraCalibration

CONFIG = CameraBranchConfig(height=32, width=64, depth_max=8.0)
GRID = BevGrid(-6.4, 6.4, -6.4, 6.4, 0.8)
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def looking(yaw: float) -> CameraCalibration:
    intrinsics = np.array([[50.0, 0, 32], [0, 50, 16], [0, 0, 1]])
    return CameraCalibration(
        64, 32, intrinsics, rigid_transform(rotation_z(yaw) @ OPTICAL, [0, 0, 1.5])
    )


class HeldTables(LiftSplatTables):
    """Stands still inside every build until it is let go."""

    def __init__(self) -> None:
        super().__init__(CONFIG, GRID)
        self.go, self.builds = threading.Event(), 0

    def _build(self, views):
        self.builds += 1
        assert self.go.wait(30)
        return super()._build(views)


@pytest.fixture
def held():
    tables = HeldTables()
    yield tables
    tables.go.set()


def assert_tables_of(tables: dict, yaws: list[float]) -> None:
    expected = LiftSplatTables(CONFIG, GRID)([looking(yaw) for yaw in yaws])
    assert set(tables) == set(expected)
    for name, table in expected.items():
        np.testing.assert_array_equal(tables[name], table)


def rig_of(kind: str) -> list[CameraCalibration]:
    """Three cameras of a moving vehicle: upright, shaken, looking down, on their side, astray."""
    rng = np.random.default_rng(7)
    turns = {'upright': 0.0, 'shaken': 0.02, 'down': 0.6, 'side': 0.0, 'below': 0.0, 'away': 0.0}
    rig = []
    for yaw in (0.3, 2.0, -1.9):
        camera = looking(yaw).ego_from_camera
        pitch = turns[kind] + (rng.normal(0, 0.01) if kind == 'shaken' else 0)
        c, s = np.cos(pitch), np.sin(pitch)
        camera = camera @ rigid_transform(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), [0, 0, 0])
        if kind == 'side':
            camera = camera @ rigid_transform(rotation_z(np.pi / 2), [0, 0, 0])
        shift = {'below': [0, 0, -12.0], 'away': [100.0, 0, 0]}.get(kind, [0, 0, 0])
        motion = rigid_transform(
            rotation_z(rng.normal(0, 0.02)), [*rng.normal(-0.6, 0.3, 2), 0] + np.array(shift)
        )
        intrinsics = np.array([[31.0, 0, 33.7], [0, 29.5, 14.2], [0, 0, 1]])
        rig.append(CameraCalibration(64, 32, intrinsics, motion @ camera))
    return rig


def lifted_points(rig: list[CameraCalibration]) -> dict[int, set[tuple[int, int]]]:
    """Cell -> (depth entry, pixel entry) of all points in it: one point after the other."""
    (h, w), bins, cells = CONFIG.feature_shape, CONFIG.depth_bins, {}
    for view, camera in enumerate(rig):
        k, pose = camera.intrinsics, camera.ego_from_camera
        for d, v, u in itertools.product(range(bins), range(h), range(w)):
            depth = CONFIG.depth_min + (d + 0.5) * CONFIG.depth_step
            column, row = (u + 0.5) * CONFIG.stride - 0.5, (v + 0.5) * CONFIG.stride - 0.5
            ray = [(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], 1.0]
            x, y, z = (
                sum(pose[axis, i] * depth * ray[i] for i in range(3)) + pose[axis, 3]
                for axis in range(3)
            )
            i, j = math.floor((x + 6.4) / 0.8), math.floor((y + 6.4) / 0.8)
            if 0 <= i < 16 and 0 <= j < 16 and -10 <= z <= 10:
                entry = ((view * bins + d) * h + v) * w + u, (view * h + v) * w + u
                cells.setdefault(j * 16 + i, set()).add(entry)
    return cells


@pytest.mark.parametrize('kind', ['upright', 'shaken', 'down', 'side', 'below', 'away'])
@pytest.mark.parametrize('entries', [4, 16])
def test_tables_name_every_point_once_in_the_cell_that_a_plain_loop_finds(kind, entries):
    rig = rig_of(kind)
    tables = LiftSplatTables(dataclasses.replace(CONFIG, splat_row=entries), GRID)(rig)
    depths, pixels = tables['depth_table'], tables['pixel_table']
    nowhere = 3 * CONFIG.depth_bins * math.prod(CONFIG.feature_shape)
    rows, active = len(depths), len(tables['cell_table'])
    assert depths.shape == pixels.shape == (rows, entries)
    assert {table.dtype for table in tables.values()} == {np.dtype(np.int32)}
    assert (pixels[depths == nowhere] == 0).all() and depths.max() <= nowhere
    expected = lifted_points(rig)
    assert set(np.flatnonzero(tables['grid_table'] < active)) == set(expected)
    used = []
    for cell, points in expected.items():
        mine = tables['cell_table'][tables['grid_table'][cell]]
        mine = mine[mine < rows]
        used.extend(mine)
        named = [
            (int(depth), int(pixel))
            for depth, pixel in zip(depths[mine].flat, pixels[mine].flat, strict=True)
            if depth < nowhere
        ]
        assert len(named) == len(points) and set(named) == points
        assert len(mine) == -(-len(points) // entries)  # no row more than they need
    assert sorted(used) == list(range(rows)) if expected else rows == 1
    assert (len(expected) == 0) is (kind == 'away') and (kind == 'away' or len(expected) > 20)


def test_cells_of_a_view_stand_by_depth_bin_feature_row_and_feature_column():
    rig = rig_of('down')
    build, (h, w), expected = LiftSplatTables(CONFIG, GRID), CONFIG.feature_shape, {}
    for cell, points in lifted_points(rig[:1]).items():
        expected |= {depth: cell for depth, _ in points}
    cells = build.view_cells(rig[0])
    assert cells.shape == (CONFIG.depth_bins * h * w,) and cells.dtype == np.int32
    assert [expected.get(place, -1) for place in range(len(cells))] == cells.tolist()


def test_a_vehicle_that_moves_leaves_no_heap_of_tables_behind():
    """Every sample has calibrations of its own: nothing that was kept for them is used again."""
    build, seen = LiftSplatTables(CONFIG, GRID), []
    for step in range(40):
        tables = build([looking(yaw + step / 1000) for yaw in (0, 1, 2)])
        seen += [weakref.ref(table) for table in tables.values()]
    del tables
    gc.collect()
    assert sum(table() is not None for table in seen) <= 4 * ANSWERS


def test_while_the_tables_of_a_new_calibration_are_built_there_are_none(held):
    background = BackgroundTables(held, 0.05)
    held.go.set()
    assert_tables_of(background([looking(0), looking(1)]), [0, 1])
    held.go.clear()
    started = time.monotonic()
    assert not background.come_in_time([looking(0), looking(2)])
    assert time.monotonic() - started < 5
    held.go.set()
    assert_tables_of(background([looking(0), looking(2)]), [0, 2])
    assert held.builds == 2  # what the wait was too short for was finished, not begun again


def test_known_tables_are_not_built_again(held):
    held.go.set()
    background = BackgroundTables(held, 5)
    assert background.come_in_time([looking(0)])
    first = background([looking(0)])
    assert background.come_in_time([looking(0)]) and background([looking(0)]) is first
    assert held.builds == 1


def test_known_tables_are_there_at_once_while_others_are_built(held):
    held.go.set()
    background = BackgroundTables(held, 1e-6)
    known = background([looking(0)])
    held.go.clear()
    assert not background.come_in_time([looking(1)])  # the builder is busy from now on
    assert background.come_in_time([looking(0)]) and background([looking(0)]) is known


def test_only_the_latest_answers_are_kept(held):
    held.go.set()
    background = BackgroundTables(held, 5)
    for yaw in range(2 * ANSWERS):
        background([looking(yaw / 100)])
    assert len(background._answers) == ANSWERS


def test_a_calibration_that_changes_all_the_time_never_heaps_up_builds(held):
    background = BackgroundTables(held, 0.01)
    for yaw in np.linspace(0, 1, 20):
        assert not background.come_in_time([looking(yaw)])
    held.go.set()
    assert_tables_of(background([looking(2)]), [2])
    assert held.builds == 2  # the one that was running and the one that was asked for last


def test_who_must_wait_gets_tables_however_long_they_take(held):
    threading.Timer(0.3, held.go.set).start()
    assert_tables_of(BackgroundTables(held, 0.01)([looking(1)]), [1])


def test_what_fails_in_the_builder_is_raised_where_it_was_asked_for():
    singular = np.array([[1e-200, 0, 0], [0, 1e-200, 0], [0, 0, 0.0]])
    wrong = CameraCalibration(64, 32, singular, np.eye(4))
    with pytest.raises(np.linalg.LinAlgError):
        BackgroundTables(LiftSplatTables(CONFIG, GRID), 5).come_in_time([wrong])
