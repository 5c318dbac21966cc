"""A real NVIDIA parser and builder, without a GPU: every graph of both networks.

TensorRT-RTX runs on a CPU as far as parsing and building go; no engine is run here.
"""

import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support.small_networks import small_base, small_model

from metabev_ros.backends.engine_builder import build_engine
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.config import DecoderFfn, ModelConfig
from metabev_ros.errors import ContractError
from metabev_ros.graph_specs import GRAPHS, TensorSpec

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmark'))

pytestmark = pytest.mark.tensorrt
# All modules of both networks on small grids; base at its own size is benchmark/engine_builds.py.
NIGHTLY = {
    'small_base': small_base(),
    'metabev_nano': ModelConfig(),
    'small_hard_experts': small_model(ffn=DecoderFfn.HM2OE),
}


@pytest.fixture(scope='module', autouse=True)
def library():
    pytest.importorskip('tensorrt_rtx', reason='pip install -r requirements/tensorrt.txt')
    return TensorRtLibrary.load(Flavour.RTX)


@pytest.mark.timeout(3000)
def test_every_graph_of_a_small_nano_is_parsed_and_built(tmp_path):
    _build(small_model(), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize('name', NIGHTLY)
def test_every_graph_of_the_network_is_parsed_and_built(name, tmp_path):
    _build(NIGHTLY[name], tmp_path)


def _build(config: ModelConfig, folder: Path) -> None:
    from engine_builds import build_all

    phases = []
    outcome = build_all(config, folder, lambda graph, phase, done, total: phases.append(graph))
    assert [report.graph for report in outcome.reports] == list(GRAPHS)
    assert all(report.was_built and report.engine_bytes > 1000 for report in outcome.reports)
    assert set(phases) == set(GRAPHS), 'progress comes from every build'
    assert not outcome.errors, 'built, never run'


def _graph(node: onnx.NodeProto, kind=TensorProto.FLOAT, shape=(4, 8)) -> bytes:
    graph = helper.make_graph(
        [node],
        'g',
        [helper.make_tensor_value_info('x', kind, shape)],
        [helper.make_tensor_value_info('y', kind, None)],
    )
    return helper.make_model(
        graph, ir_version=9, opset_imports=[helper.make_opsetid('', 18)]
    ).SerializeToString()


def _spec(name, shape=(4, 8)):
    return TensorSpec(name, 'float32', shape, '')


def test_a_graph_that_the_parser_refuses_is_an_error_with_its_words(library):
    content = _graph(helper.make_node('Unique', ['x'], ['y']))
    with pytest.raises(ContractError, match='planted.onnx: .*can parse, got .*Unique'):
        build_engine(library, content, 'planted', ((_spec('x'),), (_spec('y'),)), {})


def test_a_graph_with_other_tensors_than_the_contract_is_refused(library):
    content = _graph(helper.make_node('Relu', ['x'], ['y']))
    build_engine(library, content, 'right', ((_spec('x'),), (_spec('y'),)), {})
    with pytest.raises(ContractError, match=r'expected x \(4, 9\), z absent|x \(4, 9\)'):
        build_engine(library, content, 'wrong', ((_spec('x', (4, 9)),), (_spec('y'),)), {})
    with pytest.raises(ContractError, match='heatmap'):
        build_engine(library, content, 'wrong', ((_spec('x'),), (_spec('heatmap'),)), {})


def test_bytes_that_are_no_onnx_are_an_error_not_a_crash(library):
    for content in (b'', b'\x00' * 100, b'\xff' * 100, b'not a graph'):
        with pytest.raises(ContractError, match='nothing.onnx'):
            build_engine(library, content, 'nothing', ((_spec('x'),), (_spec('y'),)), {})
