"""Where int8 stands in a graph, and where not; on a graph that has every pattern once."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from metabev_ros.backends.engine_builder import build_engine
from metabev_ros.backends.tensorrt_library import Flavour, TensorRtLibrary
from metabev_ros.errors import ConfigError
from metabev_ros.graph_specs import TensorSpec
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.quantise import quantise, quantised_convolutions
from metabev_ros.lab.export.value_ranges import ValueRange

ORT, TRT = GraphForm.ONNXRUNTIME, GraphForm.TENSORRT
CONVOLUTIONS = {
    'block': ('x', 'a'),
    'residual': ('a_relu', 'b'),
    'projection': ('c_relu', 'd'),
    'shared': ('d_norm', 'e'),
    'last': ('e_relu', 'y'),
}


def small_graph() -> bytes:
    """block - ReLU - residual - Add - ReLU - projection - LayerNormalization - shared - ReLU -
    last."""
    rng = np.random.default_rng(0)
    constants = {
        f'{name}.w': rng.normal(size=(8, 8, 3, 3)).astype(np.float32) * 0.1
        for name in CONVOLUTIONS
    }
    constants |= {f'{name}.b': rng.normal(size=8).astype(np.float32) for name in CONVOLUTIONS}
    constants |= {'scale': np.ones(16, np.float32)}

    def convolution(name):
        source, result = CONVOLUTIONS[name]
        return helper.make_node(
            'Conv', [source, f'{name}.w', f'{name}.b'], [result], name, pads=[1] * 4
        )

    nodes = [
        convolution('block'),
        helper.make_node('Relu', ['a'], ['a_relu'], 'relu_a'),
        convolution('residual'),
        helper.make_node('Add', ['b', 'a_relu'], ['c'], 'add'),
        helper.make_node('Relu', ['c'], ['c_relu'], 'relu_c'),
        convolution('projection'),
        helper.make_node('LayerNormalization', ['d', 'scale'], ['d_norm'], 'norm'),
        convolution('shared'),
        helper.make_node('Relu', ['e'], ['e_relu'], 'relu_e'),
        convolution('last'),
    ]
    shape = [1, 8, 16, 16]
    graph = helper.make_graph(
        nodes,
        'g',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(
        graph, ir_version=10, opset_imports=[helper.make_opsetid('', 18)]
    ).SerializeToString()


def samples(seed: int, count: int = 4) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [{'x': rng.normal(size=(1, 8, 16, 16)).astype(np.float32)} for _ in range(count)]


@pytest.fixture(scope='module', params=[ORT, TRT], ids=lambda form: form.value)
def rewritten(request):
    return request.param, onnx.load_model_from_string(
        quantise(small_graph(), samples(1), request.param)
    )


def makers(graph) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output}


def zero_types(graph) -> dict[str, np.dtype]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {
        node.input[0]: constants[node.input[2]].dtype
        for node in graph.node
        if node.op_type == 'QuantizeLinear'
    }


def test_convolutions_that_lead_to_a_relu_are_chosen_and_no_others():
    graph = onnx.load_model_from_string(small_graph()).graph
    assert [node.name for node in quantised_convolutions(graph)] == ['block', 'residual', 'shared']


def test_bytes_go_into_the_chosen_convolutions_and_into_nothing_else(rewritten):
    _, model = rewritten
    maker = makers(model.graph)
    for node in model.graph.node:
        kinds = [maker[name].op_type if name in maker else '' for name in node.input[:2]]
        if node.name in ('block', 'residual', 'shared'):
            assert kinds == ['DequantizeLinear', 'DequantizeLinear'], node.name
        elif node.op_type == 'Conv':
            assert 'DequantizeLinear' not in kinds[1:], node.name
        elif node.op_type == 'LayerNormalization':
            assert kinds[0] == 'Conv'
    assert not any(node.op_type.startswith('QLinear') for node in model.graph.node)


def test_weights_are_signed_and_rounded_as_torch_rounds_them_and_biases_stay_float(rewritten):
    _, model = rewritten
    maker = makers(model.graph)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    original = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load_model_from_string(small_graph()).graph.initializer
    }
    for node in model.graph.node:
        if node.name not in ('block', 'residual', 'shared'):
            continue
        values, scale, zero = (constants[name] for name in maker[node.input[1]].input)
        assert values.dtype == np.int8 and not zero.any() and scale.shape == (8,)
        expected = torch.fake_quantize_per_channel_affine(
            torch.from_numpy(original[f'{node.name}.w'].copy()),
            torch.from_numpy(scale.copy()),
            torch.zeros(8, dtype=torch.int32),
            0,
            -127,
            127,
        )
        np.testing.assert_allclose(values * scale.reshape(-1, 1, 1, 1), expected, atol=1e-7)
        assert constants[node.input[2]].dtype == np.float32


def test_for_onnx_runtime_saturation_at_zero_takes_the_place_of_the_relu():
    graph = onnx.load_model_from_string(quantise(small_graph(), samples(1), ORT)).graph
    assert [node.name for node in graph.node if node.op_type == 'Relu'] == ['relu_c']
    assert zero_types(graph) == {
        'x': np.int8,
        'a': np.uint8,
        'b': np.int8,
        'd_norm': np.int8,
        'e': np.uint8,
    }


def test_for_tensorrt_only_inputs_are_quantised_signed_and_with_zero_points_of_zero():
    graph = onnx.load_model_from_string(quantise(small_graph(), samples(1), TRT)).graph
    assert zero_types(graph) == dict.fromkeys(('x', 'a_relu', 'd_norm'), np.dtype(np.int8))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert all(
        not constants[node.input[2]].any()
        for node in graph.node
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear')
    )
    assert sum(node.op_type == 'Relu' for node in graph.node) == 3


def test_the_rewritten_graph_gives_what_the_fp32_graph_gives_within_a_few_percent(rewritten):
    _, model = rewritten
    sessions = [
        onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
        for content in (small_graph(), model.SerializeToString())
    ]
    for sample in samples(2):
        expected, got = (session.run(None, sample)[0] for session in sessions)
        error = np.abs(got - expected).max() / np.ptp(expected)
        assert 1e-5 < error < 0.03


@pytest.mark.parametrize('form', [ORT, TRT])
def test_calibration_gives_the_same_bytes_twice(form):
    assert quantise(small_graph(), samples(1), form) == quantise(small_graph(), samples(1), form)


def test_a_convolution_whose_input_has_a_long_tail_keeps_fp32():
    inputs = samples(1)
    for sample in inputs:
        sample['x'][0, 0, 0, :4] = 100.0 * np.arange(1, 5)
    graph = onnx.load_model_from_string(quantise(small_graph(), inputs, TRT)).graph
    block = next(node for node in graph.node if node.name == 'block')
    assert list(block.input[:2]) == ['x', 'block.w']


def test_without_samples_and_with_values_that_are_not_finite_it_says_so():
    with pytest.raises(ConfigError, match='at least one sample'):
        quantise(small_graph(), [], ORT)
    bad = samples(1)
    bad[0]['x'][0, 0, 0, 0] = np.nan
    with pytest.raises(ConfigError, match='NaN or infinity in x'):
        quantise(small_graph(), bad, ORT)


@pytest.mark.parametrize('levels', [127, 255])
def test_the_clip_has_the_smallest_squared_error_of_all_that_were_tried(levels):
    values = np.random.default_rng(0).standard_t(3, 100_000).astype(np.float32)
    values = np.abs(values) if levels == 255 else values
    collected = ValueRange()
    collected.add(values)

    def error(clip):
        low = 0 if levels == 255 else -levels
        return (
            (np.clip(np.rint(values / clip * levels), low, levels) * clip / levels - values) ** 2
        ).mean()

    best = min(error(clip) for clip in np.geomspace(0.5, 200, 300))
    assert error(collected.clip(levels)) < 1.1 * best
    assert collected.has_negative == (levels == 127)


@pytest.mark.tensorrt
def test_tensorrt_rtx_parses_and_builds_the_placement_made_for_it():
    pytest.importorskip('tensorrt_rtx', reason='pip install -r requirements/tensorrt.txt')
    spec = {name: TensorSpec(name, 'float32', (1, 8, 16, 16), 'B C Y X') for name in 'xy'}
    content = quantise(small_graph(), samples(1), TRT)
    built = build_engine(
        TensorRtLibrary.load(Flavour.RTX), content, 'small', ((spec['x'],), (spec['y'],)), {}
    )
    assert built.plan
