"""Hand-made maps on the map grid, cell by cell."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support.nuscenes_maps import LINE_LAYERS, POLYGON_LAYERS, MadeMap, invented_map

from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.lab.datasets.sources.nuscenes_map import is_simple, map_file, read_city
from metabev_ros.structures import MAP_CLASSES

HERE = (500.0, 800.0)
CITY = 'boston-seaport'


def drawn(folder, made: MadeMap, yaw: float = 0.0, here=HERE) -> dict[str, np.ndarray]:
    """Class -> (200, 200) cells around a place."""
    path = made.write(folder, CITY)
    assert path == map_file(folder, CITY)
    pose = rigid_transform(rotation_z(yaw), [*here, 0.0])
    return dict(zip(MAP_CLASSES, read_city(path).draw(pose), strict=True))


def rectangle(x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
    """Corners in metres from HERE."""
    return np.array(HERE) + [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def filled(*parts: tuple[int, int, int, int]) -> np.ndarray:
    """Cells x0..x1 and y0..y1, the last ones included."""
    cells = np.zeros((200, 200), bool)
    for x0, x1, y0, y1 in parts:
        cells[y0 : y1 + 1, x0 : x1 + 1] = True
    return cells


@pytest.mark.parametrize('layer', POLYGON_LAYERS)
def test_a_polygon_fills_the_cells_of_its_layer_its_edges_included(tmp_path, layer):
    made = MadeMap()
    made.polygon(layer, rectangle(0, 10, -5, 20))
    layers = drawn(tmp_path, made)
    assert np.array_equal(layers[layer], filled((100, 120, 90, 140)))
    assert not any(cells.any() for name, cells in layers.items() if name != layer)


def test_a_hole_is_cleared_with_its_edges(tmp_path):
    made = MadeMap()
    made.polygon('walkway', rectangle(0, 20, 0, 20), [rectangle(5, 10, 5, 10)])
    expected = filled((100, 140, 100, 140)) & ~filled((110, 120, 110, 120))
    assert np.array_equal(drawn(tmp_path, made)['walkway'], expected)


def test_what_reaches_beyond_the_grid_is_cut_off(tmp_path):
    made = MadeMap()
    made.polygon('walkway', rectangle(-400, -45, -300, 900))
    made.polygon('stop_line', rectangle(45, 400, -300, 900))
    made.polygon('drivable_area', rectangle(-900, 900, -900, 900))
    layers = drawn(tmp_path, made)
    assert np.array_equal(layers['walkway'], filled((0, 10, 0, 199)))
    assert np.array_equal(layers['stop_line'], filled((190, 199, 0, 199)))
    assert layers['drivable_area'].all()


def test_what_lies_beside_the_grid_is_not_drawn(tmp_path):
    made = MadeMap()
    for x0, y0 in ((-90, 0), (60, 0), (0, -90), (0, 60), (-90, -90), (60, 60)):
        made.polygon('walkway', rectangle(x0, x0 + 30, y0, y0 + 30))
    made.polygon('walkway', np.array(HERE) + [[-130, 0], [0, -130], [-130, -130]])
    made.line('lane_divider', rectangle(-60, 60, 55, 60)[:2])
    layers = drawn(tmp_path, made)
    assert not any(cells.any() for cells in layers.values())


def test_a_hole_across_the_border_is_a_notch_whose_edges_are_filled(tmp_path):
    made = MadeMap()
    made.polygon('walkway', rectangle(-80, 0, -20, 20), [rectangle(-70, -40, -10, 10)])
    expected = filled((0, 100, 60, 140)) & ~filled((0, 19, 81, 119))
    assert np.array_equal(drawn(tmp_path, made)['walkway'], expected)


@pytest.mark.parametrize('layer', LINE_LAYERS)
def test_a_line_of_either_layer_is_a_divider_two_cells_wide(tmp_path, layer):
    made = MadeMap()
    made.line(layer, np.array(HERE) + [[-20, 3], [10, 3]])
    cells = drawn(tmp_path, made)['divider']
    rows = np.flatnonzero(cells.any(axis=1))
    assert rows.min() >= 105 and rows.max() <= 107 and 106 in rows
    columns = np.flatnonzero(cells[106])
    assert columns.min() in (59, 60) and columns.max() in (120, 121)
    assert cells[106, 60:121].all()


def test_a_line_that_leaves_and_comes_back_is_drawn_in_two_pieces(tmp_path):
    made = MadeMap()
    made.line('road_divider', np.array(HERE) + [[-20, 40], [-20, 70], [20, 70], [20, 40]])
    cells = drawn(tmp_path, made)['divider']
    assert np.flatnonzero(cells[190]).tolist() == [*np.flatnonzero(cells[185])]
    assert cells[199].any() and not cells[181:, 70:130].any() and not cells[:179].any()


def test_a_drivable_area_of_several_polygons_has_all_of_them(tmp_path):
    made = MadeMap()
    made.polygon('drivable_area', rectangle(0, 5, 0, 5))
    made.polygon('drivable_area', rectangle(10, 15, 0, 5))
    first, second = made.plain['drivable_area']
    first['polygon_tokens'] += second['polygon_tokens']
    made.plain['drivable_area'] = [first]
    expected = filled((100, 110, 100, 110), (120, 130, 100, 110))
    assert np.array_equal(drawn(tmp_path, made)['drivable_area'], expected)


def test_the_grid_turns_with_the_vehicle_and_tilts_with_nothing(tmp_path):
    made = MadeMap()
    made.polygon('walkway', rectangle(20, 30, -5, 5))
    ahead = drawn(tmp_path, made)['walkway']
    left = drawn(tmp_path, made, -np.pi / 2)['walkway']  # it looks to the south
    assert np.array_equal(ahead, filled((140, 160, 90, 110)))
    assert np.array_equal(left, filled((90, 110, 140, 160)))
    tilt = np.array([[np.cos(0.1), 0, np.sin(0.1)], [0, 1, 0], [-np.sin(0.1), 0, np.cos(0.1)]])
    pose = rigid_transform(rotation_z(0.0) @ tilt, [*HERE, 0.0])
    assert np.array_equal(read_city(map_file(tmp_path, CITY)).draw(pose)[2], ahead)


def test_a_shape_without_extent_is_left_out(tmp_path):
    made = MadeMap()
    made.polygon('walkway', rectangle(0, 1, 0, 1)[:2])
    made.polygon('stop_line', rectangle(0, 1, 0, 1), [[]])
    made.line('lane_divider', rectangle(0, 1, 0, 1)[:1])
    made.line('lane_divider', [])
    layers = drawn(tmp_path, made)
    assert not layers['walkway'].any() and not layers['divider'].any()
    assert layers['stop_line'].any()


def test_a_polygon_that_crosses_itself_is_left_out_but_for_drivable_areas(tmp_path):
    made = MadeMap()
    for layer in POLYGON_LAYERS:
        made.polygon(layer, rectangle(0, 20, 0, 20)[[0, 2, 1, 3]])
    layers = drawn(tmp_path, made)
    assert [name for name, cells in layers.items() if cells.any()] == ['drivable_area']


@pytest.mark.parametrize(
    ('ring', 'expected'),
    [
        ([[0, 0], [4, 0], [4, 4], [0, 4]], True),
        ([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]], True),  # closed by a corner of its own
        ([[0, 0], [4, 0], [4, 0], [4, 4], [2, 1], [0, 4]], True),
        ([[0, 0], [2, 0], [4, 0], [4, 4], [0, 4]], True),
        ([[0, 0], [4, 4], [4, 0], [0, 4]], False),
        ([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4]], False),  # a corner on an edge
        ([[0, 0], [4, 0], [2, 2], [4, 4], [0, 4], [2, 2]], False),  # a corner twice
        ([[0, 0], [4, 0], [4, 4], [5, 5], [5, -1], [3, -1], [3, 2]], False),
    ],
)
def test_edges_may_meet_only_in_the_corner_of_neighbours(ring, expected):
    assert is_simple(np.array(ring, float) + HERE) is expected


def test_a_city_is_read_once_until_its_file_changes(tmp_path):
    path = invented_map(0, HERE).write(tmp_path, CITY)
    first = read_city(path)
    assert read_city(path) is first
    time.sleep(0.01)
    invented_map(1, HERE).write(tmp_path, CITY)
    assert read_city(path) is not first
