"""The live node runs with what rosdep installs, rosbags' CDR and ONNX Runtime: nothing else."""

from __future__ import annotations

import sys
import textwrap

import pytest

pytestmark = pytest.mark.ros

# Of the commands, of training, and what PyPI's wheels bring along.
NOT_OF_THE_NODE = (
    'mcap',
    'zstandard',
    'lz4',
    'typer',
    'rich',
    'matplotlib',
    'imageio_ffmpeg',
    'safetensors',
    'embreex',
    'torch',
    'onnx',
    'scipy',
    'PIL',
    'apsw',
    'ruamel',
)
BLOCKED_NODE = textwrap.dedent(f"""
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition('.')[0] in {NOT_OF_THE_NODE}:
                print(f'wanted {{name}}', flush=True)
                raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

    sys.meta_path.insert(0, Blocker())
    from metabev_ros.node.process import main
    raise SystemExit(main())
""")


def test_the_node_perceives_where_only_its_own_needs_are_installed(tmp_path, graph, model):
    from support.live_graph import NodeProcess, RigPublisher

    script = tmp_path / 'blocked_node.py'
    script.write_text(BLOCKED_NODE)
    node = NodeProcess(tmp_path, program=(sys.executable, str(script)), model=model)
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph, timeout=60)
    finally:
        code = node.stop()
    assert code == 0 and 'wanted' not in node.log, node.log
