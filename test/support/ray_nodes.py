"""A Ray cluster of two nodes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import support


@contextmanager
def two_nodes() -> Iterator[str]:
    """Address of the cluster, whose processes find the jobs of `support`."""
    pytest.importorskip('ray', reason='ray is optional and not installed')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(Path(support.__path__[0]).parent), prepend=':')
        try:
            made = _started()
        except Exception:  # a loaded machine needs more than Ray's 30 s the first time
            made = _started()
        try:
            yield made.address
        finally:
            made.shutdown()


def _started():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})
    made.add_node(num_cpus=1)
    return made
