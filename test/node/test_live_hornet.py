"""The node with a HorNet model: fused, and by either sensor alone."""
import pytest

from metabev_ros import wire

pytestmark = pytest.mark.ros


def test_the_node_publishes_what_a_hornet_sees_in_every_modality(tmp_path, graph):
    import hornet_model
    import rig_messages
    from live_graph import NodeProcess, RigPublisher
    node = NodeProcess(tmp_path, model=hornet_model.exported())
    try:
        node.wait_for_log('active:')
        rig = RigPublisher(graph)
        graph.wait_until_heard(rig.topics)
        rig.tick_until_fused(graph)
        lidar, cameras = {rig_messages.LIDAR}, set(rig_messages.CAMERAS)
        for off, left in ((cameras, lidar), (lidar, cameras)):
            for _ in range(60):
                rig.tick(off=frozenset(off))
                if any(set(record.message.sensors) == left
                       for record in graph.of(wire.DETECTIONS)):
                    break
            else:
                raise AssertionError(f'no output of {sorted(left)} alone')
    finally:
        code = node.stop()
    assert code == 0, node.log
    assert 'small_hornet' in node.log
