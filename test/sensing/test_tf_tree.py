"""TF: chains, refusals, floods of names, history (reliability rows 60-61)."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from support.fake_drive import T0, tf_message, transform

from metabev_ros.errors import SensorDataError
from metabev_ros.geometry import inverse_rigid, rigid_transform, rotation_z
from metabev_ros.sensing.tf_tree import TfTree

NAN = math.nan
QUARTER = (0, 0, math.sqrt(0.5), math.sqrt(0.5))


def test_chains_compose_and_both_directions_meet_at_a_common_ancestor():
    tree = TfTree('base_link')
    assert tree.update(tf_message(transform('map', 'base_link', (1e6, 5, 0), QUARTER)), True) == []
    tree.update(
        tf_message(
            transform('base_link', 'roof', (1, 0, 2), QUARTER), transform('roof', 'cam', (0, 3, 0))
        ),
        True,
    )
    expected = rigid_transform(rotation_z(np.pi / 2), (1, 0, 2)) @ rigid_transform(
        np.eye(3), (0, 3, 0)
    )
    assert np.allclose(tree.ego_from('cam', T0), expected)
    # The same tree from the roof's point of view: base_link is a child of its sensor's parent.
    other = TfTree('base_link')
    other.update(
        tf_message(
            transform('roof', 'base_link', (1, 2, 3), QUARTER), transform('roof', 'cam', (0, 3, 0))
        ),
        True,
    )
    expected = inverse_rigid(rigid_transform(rotation_z(np.pi / 2), (1, 2, 3))) @ rigid_transform(
        np.eye(3), (0, 3, 0)
    )
    assert np.allclose(other.ego_from('cam', T0), expected)


def no_transform(tree: TfTree, frame: str = 'cam', at: int = T0) -> None:
    with pytest.raises(SensorDataError) as caught:
        tree.ego_from(frame, at)
    assert caught.value.reason == 'transform'


def test_a_cycle_ends_in_a_refusal_not_in_a_loop():
    tree = TfTree('base_link')
    links = transform('a', 'cam'), transform('b', 'a'), transform('cam', 'b')
    tree.update(tf_message(*links), True)
    no_transform(tree)


@pytest.mark.parametrize(
    'bad',
    [
        transform('base_link', 'cam', (NAN, 0, 0)),
        transform('base_link', 'cam', q=(0, 0, 0, 0)),
        transform('base_link', 'cam', q=(0, 0, 0, 2)),
        transform('base_link', 'cam', q=(NAN, 0, 0, 1)),
        transform('cam', 'cam'),
        transform('', 'cam'),
        transform('base_link', 'cam', (1e300, 0, 0)),
    ],
)
def test_row_061_a_link_that_cannot_be_used_is_refused_and_the_last_good_one_stays(bad):
    tree = TfTree('base_link')
    refused_links = tree.update(tf_message(bad), True)
    assert [frame for frame, _ in refused_links] == ['cam']
    no_transform(tree)
    tree.update(tf_message(transform('base_link', 'cam', (1, 2, 3))), True)
    tree.update(tf_message(bad), True)
    assert tree.ego_from('cam', T0)[:3, 3].tolist() == [1, 2, 3]


def test_row_061_an_absurdly_distant_sensor_has_no_transform():
    tree = TfTree('base_link')
    tree.update(tf_message(transform('base_link', 'cam', (30, 0, 0))), True)
    no_transform(tree)


def test_row_060_a_dynamic_transform_goes_stale_and_a_static_one_does_not():
    tree = TfTree('base_link')
    tree.update(tf_message(transform('base_link', 'cam')), static=False)
    assert tree.ego_from('cam', T0 + 400_000_000).shape == (4, 4)
    no_transform(tree, at=T0 + 600_000_000)
    tree.clear_dynamic()
    no_transform(tree)
    tree.update(tf_message(transform('base_link', 'cam')), static=True)
    assert tree.ego_from('cam', T0 + 10**15).shape == (4, 4)


def test_row_060_a_dynamic_transform_stamped_years_ahead_does_not_live_for_ever():
    tree = TfTree('base_link')
    tree.update(tf_message(transform('base_link', 'cam', ns=T0 + 10**18)), static=False)
    no_transform(tree)
    tree.update(tf_message(transform('base_link', 'cam', (1, 0, 0))), static=False)
    assert tree.ego_from('cam', T0)[0, 3] == 1


def test_a_wrong_link_above_the_ego_frame_does_not_lead_around_the_right_one():
    tree = TfTree('base_link')
    tree.update(tf_message(transform('base_link', 'cam', (1, 2, 3))), True)
    tree.update(tf_message(transform('cam', 'base_link', (9, 9, 9))), True)  # a cycle
    assert tree.ego_from('cam', T0)[:3, 3].tolist() == [1, 2, 3]


def test_more_transforms_at_once_than_frames_may_be_known_are_refused():
    tree = TfTree('base_link')
    flood = [transform('base_link', f'f{i}') for i in range(1001)]
    with pytest.raises(SensorDataError, match='at most 1000 transforms'):
        tree.update(tf_message(*flood), True)


# ------------------------------------------------------------------------------- floods of names
def flood(tree: TfTree, first: int, count: int, static: bool = False, ns: int = T0) -> None:
    """Name `count` frames that nobody knows."""
    for begin in range(first, first + count, 500):
        names = [f'unknown{i}' for i in range(begin, min(begin + 500, first + count))]
        links = [transform('base_link', name, ns=ns) for name in names]
        assert tree.update(tf_message(*links), static) == []


@pytest.mark.parametrize('static', [True, False])
def test_a_flood_of_unknown_frames_before_that_of_a_sensor_costs_it_nothing(static):
    tree = TfTree('base_link', ['cam'])
    flood(tree, 0, 1500, static)
    assert tree.update(tf_message(transform('base_link', 'cam', (1, 2, 3))), static) == []
    flood(tree, 1500, 3000, static)
    assert tree.ego_from('cam', T0)[:3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize('links', [('mast', 'roof', 'cam'), ('cam', 'roof', 'mast')])
def test_a_flood_between_the_links_of_a_chain_pushes_none_of_them_out(links):
    parents = {'mast': 'base_link', 'roof': 'mast', 'cam': 'roof'}
    tree = TfTree('base_link', ['cam'])
    for number, name in enumerate(links):
        flood(tree, 2000 * number, 1500)
        assert tree.update(tf_message(transform(parents[name], name, (1, 0, 0))), True) == []
    flood(tree, 9000, 2000)
    assert tree.ego_from('cam', T0)[:3, 3].tolist() == [3, 0, 0]


def test_a_flood_that_names_a_new_frame_in_every_message_has_bounded_memory():
    def grown(messages: range) -> int:
        for i in messages:
            link = transform(f'p{i}' + 'x' * 200, f'f{i}' + 'x' * 200, ns=T0 + i * 10**6)
            tree.update(tf_message(link), False)
            tree.update(tf_message(transform('base_link', 'cam', ns=T0 + i * 10**6)), False)
        return tracemalloc.get_traced_memory()[0]

    tree = TfTree('base_link', ['cam'])
    tracemalloc.start()
    try:
        before = grown(range(3000))
        assert grown(range(3000, 5000)) < before + 100_000
    finally:
        tracemalloc.stop()
    assert tree.ego_from('cam', T0 + 5 * 10**9).shape == (4, 4)


def test_a_hostile_chain_without_end_is_bounded_and_harms_its_own_sensor_only():
    tree = TfTree('base_link', ['cam', 'lidar'])
    tree.update(tf_message(transform('base_link', 'lidar', (1, 0, 0))), True)
    tree.update(tf_message(transform('x0', 'cam')), False)
    for i in range(5000):
        tree.update(tf_message(transform(f'x{i + 1}', f'x{i}')), False)
    no_transform(tree)
    assert tree.ego_from('lidar', T0)[0, 3] == 1
    assert tree.update(tf_message(transform('base_link', 'cam', (2, 0, 0))), False) == []
    assert tree.ego_from('cam', T0)[0, 3] == 2


def test_a_name_of_megabytes_is_refused():
    tree = TfTree('base_link', ['cam'])
    ((_, error),) = tree.update(tf_message(transform('base_link', 'x' * 10**7)), True)
    assert error.reason == 'transform' and len(str(error)) < 300


# ------------------------------------------------------------------------------------- history
def test_a_dynamic_link_is_interpolated_at_the_stamp_that_is_asked():
    tree = TfTree('base_link', ['cam'])

    def pose(t: float) -> np.ndarray:
        return rigid_transform(rotation_z(0.8 * t), (1.0 + 0.3 * t, -0.2 * t, 1.5))

    for k in range(300):
        t = k / 100
        turn = (0, 0, math.sin(0.4 * t), math.cos(0.4 * t))
        link = transform('base_link', 'cam', pose(t)[:3, 3], turn, ns=T0 + k * 10_000_000)
        assert tree.update(tf_message(link), False) == []
    for t in (2.98765, 2.5, 1.231, 0.996):
        assert np.allclose(tree.ego_from('cam', T0 + round(t * 1e9)), pose(t), atol=1e-9), t
    held = tree.ego_from('cam', T0 + 3_400_000_000)
    assert np.allclose(held, pose(2.99), atol=1e-9), 'what is not known yet stays as it was'


def test_a_mount_that_was_moved_is_believed_with_the_next_message():
    tree = TfTree('base_link', ['cam'])
    for k in range(20):
        tree.update(tf_message(transform('base_link', 'cam', ns=T0 + k * 10_000_000)), False)
    for ns in (T0 + 200_000_000, T0 - 5 * 10**9):  # rising, and after a restart with older stamps
        moved = transform('base_link', 'cam', (5, 0, 0), QUARTER, ns=ns)
        assert tree.update(tf_message(moved), False) == []
        assert tree.ego_from('cam', ns)[0, 3] == 5
