"""The graph lint: refuses what some runtime refuses late, computes slowly or gets silently wrong.

| refused | because |
|---|---|
| another opset than 18, GridSample from opset 20 on | its mode was renamed: TensorRT parsers up to 10.13 take it for nearest neighbour |
| external data | one file, one SHA-256 |
| operators of other domains, functions | plain ONNX runs everywhere |
| scatter with a reduction | TensorRT refuses it, 8.6 ignored the reduction |
| Unique; NonZero | shapes that depend on data; ONNX Runtime may have NonZero in experts |
| TopK with K > 3840 or unknown | TensorRT's limit |
| GridSample in a TensorRT graph | wrong engines without a word (NVIDIA/TensorRT 4813) |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from metabev_ros.errors import ContractError, assert_never
from metabev_ros.graph_variants import GraphForm

OPSET = 18
GRID_SAMPLE_RENAMED = 20  # the opset that calls its bilinear mode 'linear'
TOPK_LIMIT = 3840
STANDARD = ('', 'ai.onnx')
# Modules that may bring NonZero into a graph for ONNX Runtime (`expert_forms.by_nonzero`), as the
# exporter names them in every node.
EXPERT_POOLS = (
    'metabev_ros.network.moe.RoutedExperts',
    'metabev_ros.network.adamv.AdaptiveExperts',
)
HIERARCHY = 'pkg.torch.onnx.class_hierarchy'


def lint(content: bytes, name: str, form: GraphForm = GraphForm.ONNXRUNTIME) -> None:
    """Check a graph, its subgraphs included.

    Args:
        content: the ONNX file.
        name: of the graph, for messages.
        form: runtime it is written for.

    Raises:
        ContractError: naming graph, operator and node.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own types, which differ between its versions
        raise ContractError(
            f'{name}.onnx', 'an ONNX model', str(error)[:200], 'export the model again'
        ) from error
    _check_model(model, name)
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                raise ContractError(
                    f'{name}.onnx',
                    'weights inside the file',
                    f'external data ({tensor.name})',
                    'export with external_data=False',
                )
        for node in graph.node:
            offence = _offence(node, graph, form)
            if offence is not None:
                expected, remedy = offence
                raise ContractError(
                    f'{name}.onnx', expected, f'{node.op_type} ({node.name})', remedy
                )


def _check_model(model: ModelProto, name: str) -> None:
    opsets = {item.domain: item.version for item in model.opset_import}
    opset = next((opsets[domain] for domain in STANDARD if domain in opsets), 0)
    samples = any(
        node.op_type == 'GridSample' for graph in _graphs(model.graph) for node in graph.node
    )
    if opset >= GRID_SAMPLE_RENAMED and samples:
        raise ContractError(
            f'{name}.onnx',
            f'GridSample below opset {GRID_SAMPLE_RENAMED}',
            f'GridSample at opset {opset}',
            f'export with opset {OPSET}: some TensorRT parsers would read nearest',
        )
    if opset != OPSET:
        raise ContractError(
            f'{name}.onnx', f'opset {OPSET}', f'opset {opset}', f'export with opset {OPSET}'
        )
    if model.functions:
        raise ContractError(
            f'{name}.onnx', 'no functions', model.functions[0].name, 'inline them before saving'
        )


def _offence(node: NodeProto, graph: GraphProto, form: GraphForm) -> tuple[str, str] | None:
    """(what was expected, what to do), or None."""
    kind = node.op_type
    if node.domain not in STANDARD:
        return f'operators of the ONNX standard, not of {node.domain}', 'write it in plain ONNX'
    if kind.startswith('Scatter') and any(
        a.name == 'reduction' and a.s not in (b'', b'none') for a in node.attribute
    ):
        return 'no scatter with a reduction', 'use a host-built table and Gather'
    if kind == 'Unique':
        return 'no Unique', 'use a host-built table'
    if kind == 'TopK' and not _topk_count(node, graph) <= TOPK_LIMIT:
        return f'TopK of a constant K up to {TOPK_LIMIT}', 'lower K'
    return _offence_of_form(node, form)


def _offence_of_form(node: NodeProto, form: GraphForm) -> tuple[str, str] | None:
    """As `_offence`, of the operators that one form allows and another does not."""
    instead = f'export with --form {form.value}, or use a host-built table'
    match form:
        case GraphForm.ONNXRUNTIME:
            if node.op_type == 'NonZero' and not _in_expert_pool(node):
                return 'no NonZero outside experts', instead
        case GraphForm.TENSORRT:
            if node.op_type == 'NonZero':
                return 'no NonZero', instead
            if node.op_type == 'GridSample':
                remedy = 'use Sampling.GATHER (export/forms.py)'
                return 'no GridSample in a graph for TensorRT', remedy
        case _:
            assert_never(form)
    return None


def _in_expert_pool(node: NodeProto) -> bool:
    hierarchy = next((item.value for item in node.metadata_props if item.key == HIERARCHY), '')
    return any(f"'{pool}'" in hierarchy for pool in EXPERT_POOLS)


def _topk_count(node: NodeProto, graph: GraphProto) -> float:
    """K, infinite if it is not a constant of the same graph."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        other.output[0]: attribute.t
        for other in graph.node
        if other.op_type == 'Constant'
        for attribute in other.attribute
        if attribute.name == 'value'
    }
    tensor = constants.get(node.input[1]) if len(node.input) > 1 else None
    return float('inf') if tensor is None else float(numpy_helper.to_array(tensor).max())


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and all bodies of If, Loop and Scan in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
            for body in bodies:
                yield from _graphs(body)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
