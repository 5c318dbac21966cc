"""Optimisation profiles against what the preprocessing really gives."""

import numpy as np
import pytest

from metabev_ros.backends.profiles import ProfileLimits, graph_profile
from metabev_ros.config import ModelConfig, load_config
from metabev_ros.errors import ConfigError
from metabev_ros.graph_specs import GRAPHS, graph_inputs
from metabev_ros.lab.export.parity import parity_inputs

CONFIGS = {'nano': None, 'base': 'config/models/metabev_base.yaml'}


def config_of(name: str, repo_root) -> ModelConfig:
    path = CONFIGS[name]
    return ModelConfig() if path is None else load_config(ModelConfig, repo_root / path)


@pytest.mark.parametrize('name', CONFIGS)
def test_real_inputs_fit_into_the_profile_with_room_and_are_near_the_typical_size(name, repo_root):
    config = config_of(name, repo_root)
    camera, lidar = next(
        pair
        for pair in parity_inputs(config)
        if pair[0] and pair[1] and len(pair[0]['images']) == 6
    )
    for graph, arrays in (('camera_encoder', camera), ('lidar_encoder', lidar)):
        for tensor, (smallest, typical, largest) in graph_profile(
            config, graph, ProfileLimits()
        ).items():
            shape = np.array(arrays[tensor].shape)
            assert (shape >= smallest).all() and (shape <= largest).all(), (tensor, shape, largest)
            assert (shape <= 1.4 * np.array(typical)).all(), (tensor, shape, typical)
            assert (shape >= 0.3 * np.array(typical)).all(), (tensor, shape, typical)


@pytest.mark.parametrize('name', CONFIGS)
def test_every_free_axis_has_a_range_and_every_fixed_one_has_none(name, repo_root):
    config = config_of(name, repo_root)
    for graph in GRAPHS:
        profile = graph_profile(config, graph, ProfileLimits(cameras=4, headroom=2.0))
        for spec in graph_inputs(config)[graph]:
            assert (spec.name in profile) == (None in spec.shape)
            for shape in profile.get(spec.name, ()):
                assert all(
                    size in (None, given) for size, given in zip(spec.shape, shape, strict=True)
                )
        for smallest, typical, largest in profile.values():
            assert all(
                1 <= low <= middle <= high
                for low, middle, high in zip(smallest, typical, largest, strict=True)
            )


def test_tables_that_share_rows_share_their_range(repo_root):
    for name in CONFIGS:
        config = config_of(name, repo_root)
        profile = {
            tensor: shapes
            for graph in GRAPHS
            for tensor, shapes in graph_profile(config, graph, ProfileLimits()).items()
        }
        assert profile['depth_table'] == profile['pixel_table']
        if name == 'base':
            rows = {
                tensor: tuple(shape[0] for shape in shapes) for tensor, shapes in profile.items()
            }
            assert rows['voxel_features'] == rows['subm1_table']
            for step in (1, 2, 3):
                assert rows[f'down{step}_table'] == rows[f'subm{step + 1}_table']


def test_more_cameras_and_more_headroom_make_a_larger_profile():
    config = ModelConfig()

    def largest(limits):
        return graph_profile(config, 'camera_encoder', limits)['depth_table'][2][0]

    assert (
        largest(ProfileLimits(cameras=8))
        > largest(ProfileLimits())
        > largest(ProfileLimits(headroom=1.1))
    )
    assert graph_profile(config, 'camera_encoder', ProfileLimits(2))['images'][2][0] == 2


@pytest.mark.parametrize('limits', [(0, 1.5), (33, 1.5), (6, 0.9), (6, 17), (6, float('nan'))])
def test_limits_outside_their_range_are_refused(limits):
    with pytest.raises(ConfigError, match='engines'):
        ProfileLimits(*limits)
