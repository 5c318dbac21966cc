"""Rendered records that the trainer's tests share."""

import pytest
from support.rendered import rendered_records
from support.tiny import TINY


@pytest.fixture(scope='session')
def tiny_records(tmp_path_factory):
    """Two frames at the size of the tiny network: one set of records."""
    return rendered_records(tmp_path_factory.mktemp('tiny_cache'), TINY, 5000, 1, 2)
