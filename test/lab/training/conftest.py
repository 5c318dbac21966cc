"""Rendered records that the trainer's tests share."""

import pytest
from support.tiny import TINY

from metabev_ros.lab.training.cache import CacheConfig, build_cache


@pytest.fixture(scope='session')
def tiny_records(tmp_path_factory):
    """Two frames at the size of the tiny network."""
    cache = CacheConfig(first_seed=5000, worlds=1, frames_per_world=2)
    return build_cache(tmp_path_factory.mktemp('tiny_cache'), TINY, cache, workers=1)
