"""One fp32 graph -> the same graph with int8 convolutions (static quantisation, QDQ).

Quantised is every convolution that leads to a ReLU, directly or over a residual sum: the image
backbone, its neck, the convolutions behind lift-splat and pillars, BEV neck and the insides of the
heads. All else keeps fp32: lift-splat, attention with its projections, LayerNorm, softmax,
experts, the last layers (depth, heatmap, boxes, map) and decoding.

Two placements, because the two runtimes fuse different patterns (measured: docs/engines.md):

| | ONNX Runtime | TensorRT |
|---|---|---|
| quantised | inputs and results of the convolutions | inputs of the convolutions |
| numbers | behind a ReLU unsigned, saturation at 0 replaces it; else signed | signed |
| zero point | 0 | 0 (another one is refused) |

A convolution also keeps fp32 if int8 would cost one of its tensors more than `LARGEST_LOSS` of
its mean magnitude on the calibration samples: the sums of lift-splat, whose near cells are a
hundred times the far ones.

Weights are signed, symmetric, one scale a channel; a bias stays fp32, as TensorRT demands. ONNX
Runtime can also run the TensorRT placement (the gate does), only not faster than fp32.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from metabev_ros.errors import assert_never
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.value_ranges import ValueRange, value_ranges

SIGNED, UNSIGNED = 127, 255
LARGEST_LOSS = 0.05


def quantised_convolutions(graph: onnx.GraphProto) -> list[NodeProto]:
    """The convolutions with constant weights that lead to a ReLU."""
    readers = _readers(graph)
    constants = {tensor.name for tensor in graph.initializer}

    def leads_to_relu(name: str) -> bool:
        return any(
            node.op_type == 'Relu'
            or (
                node.op_type == 'Add'
                and any(after.op_type == 'Relu' for after in readers.get(node.output[0], []))
            )
            for node in readers.get(name, [])
        )

    return [
        node
        for node in graph.node
        if node.op_type == 'Conv' and node.input[1] in constants and leads_to_relu(node.output[0])
    ]


def quantise(content: bytes, inputs: Iterable[dict[str, np.ndarray]], form: GraphForm) -> bytes:
    """The int8 graph of an fp32 graph; equal bytes for equal arguments.

    Args:
        content: ONNX file.
        inputs: calibration samples by input name.

    Returns:
        ONNX file, same inputs and outputs.

    Raises:
        ConfigError: see `value_ranges`.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    convolutions = quantised_convolutions(graph)
    absorbed = _absorbed_relus(graph, convolutions, form)
    ranges = value_ranges(model, _activations(convolutions, absorbed, form), inputs)
    convolutions = [
        node
        for node in convolutions
        if all(
            ranges[name].loss(_levels(ranges[name], form)) <= LARGEST_LOSS
            for name in _activations([node], absorbed, form)
        )
    ]
    results = {node.output[0] for node in convolutions}
    absorbed = {result: relu for result, relu in absorbed.items() if result in results}
    _rewrite(
        graph,
        convolutions,
        absorbed,
        {name: _scale(ranges[name], form) for name in _activations(convolutions, absorbed, form)},
    )
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _readers(graph: onnx.GraphProto) -> dict[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _absorbed_relus(
    graph: onnx.GraphProto, convolutions: list[NodeProto], form: GraphForm
) -> dict[str, str]:
    """Result of a convolution -> result of the ReLU that alone reads it.

    The pair is quantised as one: unsigned bytes cannot be negative. A ReLU that makes an output of
    the graph stays, its values leave unrounded. None for TensorRT, which rounds no results.
    """
    absorbed: dict[str, str] = {}
    if not _rounds_results(form):
        return absorbed
    readers, outputs = _readers(graph), {item.name for item in graph.output}
    for node in convolutions:
        after = readers[node.output[0]]
        if len(after) == 1 and after[0].op_type == 'Relu' and after[0].output[0] not in outputs:
            absorbed[node.output[0]] = after[0].output[0]
    return absorbed


def _activations(
    convolutions: list[NodeProto], absorbed: dict[str, str], form: GraphForm
) -> list[str]:
    """Tensors that get a QuantizeLinear/DequantizeLinear pair, in a fixed order."""
    names = [node.input[0] for node in convolutions]
    if _rounds_results(form):
        names += [absorbed.get(node.output[0], node.output[0]) for node in convolutions]
    return list(dict.fromkeys(names))


def _rounds_results(form: GraphForm) -> bool:
    """Tell whether results of convolutions are quantised, and not their inputs alone."""
    match form:
        case GraphForm.ONNXRUNTIME:
            return True
        case GraphForm.TENSORRT:
            return False
        case _:
            assert_never(form)


def _levels(values: ValueRange, form: GraphForm) -> int:
    match form:
        case GraphForm.ONNXRUNTIME:
            return SIGNED if values.has_negative else UNSIGNED
        case GraphForm.TENSORRT:
            return SIGNED
        case _:
            assert_never(form)


def _scale(values: ValueRange, form: GraphForm) -> tuple[np.ndarray, np.ndarray]:
    """(scale, zero point); the zero point's type is the type of the bytes."""
    levels = _levels(values, form)
    return (
        np.array(values.clip(levels) / levels, np.float32),
        np.zeros((), np.int8 if levels == SIGNED else np.uint8),
    )


def _rewrite(
    graph: onnx.GraphProto,
    convolutions: list[NodeProto],
    absorbed: dict[str, str],
    scales: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    """Put the pairs in; who read a quantised tensor reads it rounded from then on."""
    chosen = {node.name for node in convolutions}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rounded: dict[str, str] = {}  # tensor -> what its readers read
    nodes: list[NodeProto] = []

    def round_trip(name: str, source: str) -> None:
        scale, zero = scales[name]
        nodes.extend(_pair(graph, name, source, scale, zero))
        rounded[name] = f'{name}.rounded'

    for item in graph.input:
        if item.name in scales:
            round_trip(item.name, item.name)
    for node in graph.node:
        if node.output[0] in absorbed.values():
            continue  # this ReLU is the saturation at zero
        is_chosen, weight = node.name in chosen, node.input[1] if len(node.input) > 1 else ''
        for i, name in enumerate(node.input):
            node.input[i] = rounded.get(name, name)
        if is_chosen:
            if weight not in rounded:
                nodes.append(_dequantised_weight(graph, weight, weights[weight]))
                rounded[weight] = f'{weight}.rounded'
            node.input[1] = rounded[weight]
        nodes.append(node)
        for name in node.output:
            target = absorbed.get(name, name)
            if target in scales:
                round_trip(target, name)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused(graph)


def _pair(
    graph: onnx.GraphProto, name: str, source: str, scale: np.ndarray, zero: np.ndarray
) -> list[NodeProto]:
    """Tensor `source` -> bytes -> '<name>.rounded'."""
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f'{name}.scale'))
    graph.initializer.append(numpy_helper.from_array(zero, f'{name}.zero'))
    parameters = [f'{name}.scale', f'{name}.zero']
    return [
        helper.make_node(
            'QuantizeLinear', [source, *parameters], [f'{name}.bytes'], f'{name}.quantise'
        ),
        helper.make_node(
            'DequantizeLinear',
            [f'{name}.bytes', *parameters],
            [f'{name}.rounded'],
            f'{name}.dequantise',
        ),
    ]


def _dequantised_weight(graph: onnx.GraphProto, name: str, weight: np.ndarray) -> NodeProto:
    """A weight as int8 with one scale for each of its first axis' channels."""
    flat = np.abs(weight).reshape(len(weight), -1).max(1)
    scale = np.where(flat > 0, flat / SIGNED, 1.0).astype(np.float32)
    steps = np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    for suffix, array in (
        ('bytes', steps.clip(-SIGNED, SIGNED).astype(np.int8)),
        ('scale', scale),
        ('zero', np.zeros(len(scale), np.int8)),
    ):
        graph.initializer.append(numpy_helper.from_array(array, f'{name}.{suffix}'))
    return helper.make_node(
        'DequantizeLinear',
        [f'{name}.bytes', f'{name}.scale', f'{name}.zero'],
        [f'{name}.rounded'],
        f'{name}.dequantise',
        axis=0,
    )


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    values = [item for item in graph.value_info if item.name in used]
    del graph.value_info[:]
    graph.value_info.extend(values)
