"""Tables of a new calibration are waited for or done without, never replaced by older ones."""

from __future__ import annotations

import threading
import time

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

    def _build(self, cells):
        self.builds += 1
        assert self.go.wait(30)
        return super()._build(cells)


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
