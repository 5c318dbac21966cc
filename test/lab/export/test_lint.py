"""Every kind that the lint forbids is planted once, and what it allows passes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from metabev_ros.errors import ContractError
from metabev_ros.graph_variants import GraphForm
from metabev_ros.lab.export.lint import HIERARCHY, OPSET, lint

ORT, TENSORRT = GraphForm


def node(kind, *inputs, **attributes):
    return helper.make_node(
        kind, list(inputs) or ['x'], ['y'], name=f'planted_{kind}', **attributes
    )


def model(*nodes, opset=OPSET, initializers=()):
    value = helper.make_tensor_value_info('x', TensorProto.FLOAT, [2])
    graph = helper.make_graph(list(nodes), 'g', [value], [value], initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)])


def check(*nodes, form=ORT, **options):
    lint(model(*nodes, **options).SerializeToString(), 'planted', form)


def count(k):
    return numpy_helper.from_array(np.array([k], np.int64), 'k')


def from_experts(kind='metabev_ros.network.moe.RoutedExperts'):
    found = node('NonZero')
    found.metadata_props.add(key=HIERARCHY, value=f"['metabev_ros.x.FusionGraph', '{kind}', 'a']")
    return found


@pytest.mark.parametrize('form', GraphForm)
@pytest.mark.parametrize(
    'offender',
    [
        node('NonZero'),
        node('Unique'),
        from_experts('metabev_ros.network.heads.RoutedExpertsToo'),
        node('ScatterND', 'x', 'i', 'u', reduction='add'),
        node('ScatterElements', 'x', 'i', 'u', reduction='max'),
        node('FusedMatMul', 'x', 'x', domain='com.microsoft'),
    ],
    ids=lambda n: n.op_type,
)
def test_offenders_are_refused_in_every_form_and_named(offender, form):
    with pytest.raises(ContractError, match=f'planted.onnx.*{offender.op_type}.*planted_'):
        check(node('Relu'), offender, form=form)


@pytest.mark.parametrize(
    'offender', [node('GridSample', 'x', 'g'), from_experts()], ids=lambda n: n.op_type
)
def test_what_onnx_runtime_may_have_is_refused_for_tensorrt(offender):
    check(offender, form=ORT)
    with pytest.raises(ContractError, match=f'{offender.op_type}'):
        check(offender, form=TENSORRT)


def test_topk_is_refused_above_the_limit_of_tensorrt_and_with_a_k_that_is_not_constant():
    top = node('TopK', 'x', 'k')
    check(top, initializers=[count(3840)])
    with pytest.raises(ContractError, match='3840.*TopK'):
        check(top, initializers=[count(3841)])
    with pytest.raises(ContractError, match='TopK'):
        check(top)
    constant = helper.make_node('Constant', [], ['k'], value=count(4000))
    with pytest.raises(ContractError, match='TopK'):
        check(constant, top)


@pytest.mark.parametrize('opset', [17, 19, 20, 21])
def test_another_opset_is_refused(opset):
    with pytest.raises(ContractError, match=f'opset 18, got opset {opset}'):
        check(node('Relu'), opset=opset)


def test_grid_sample_from_opset_20_on_gets_its_own_words():
    with pytest.raises(ContractError, match='GridSample at opset 20.*nearest'):
        check(node('GridSample', 'x', 'g'), opset=20)


def test_external_data_is_refused_also_in_a_constant():
    outside = numpy_helper.from_array(np.zeros(2, np.float32), 'w')
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key='location', value='w.bin')
    for options in ({'initializers': [outside]}, {}):
        nodes = [] if options else [helper.make_node('Constant', [], ['w'], value=outside)]
        with pytest.raises(ContractError, match='external data'):
            check(node('Relu'), *nodes, **options)


def test_an_offender_in_the_body_of_an_if_is_found():
    body = helper.make_graph([node('Unique')], 'body', [], [])
    branch = node('If', 'x', then_branch=body, else_branch=body)
    with pytest.raises(ContractError, match='Unique'):
        check(branch)


def test_functions_and_what_is_no_model_are_refused():
    with_function = model(node('Relu'))
    with_function.functions.append(
        helper.make_function(
            'own', 'f', ['x'], ['y'], [node('Relu')], [helper.make_opsetid('', OPSET)]
        )
    )
    with pytest.raises(ContractError, match='no functions, got f'):
        lint(with_function.SerializeToString(), 'planted')
    with pytest.raises(ContractError, match='an ONNX model'):
        lint(b'no protobuf', 'planted')


def test_a_clean_graph_passes_in_every_form():
    plain = node('ScatterND', 'x', 'i', 'u', reduction='none')
    for form in GraphForm:
        check(node('Relu'), plain, form=form)
    assert onnx.defs.onnx_opset_version() >= OPSET
