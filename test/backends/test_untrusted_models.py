"""Rows 87, 111, 112 and 113: model folders that are wrong or malicious."""

import ast
import json
import os
import pickle
import shutil

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from metabev_ros import resources
from metabev_ros.backends import build_backend
from metabev_ros.backends.onnx_bytes import refuse_external_data
from metabev_ros.config import yaml as plain_config
from metabev_ros.errors import ConfigError, ContractError, MetaBevError
from metabev_ros.files import sha256_of
from metabev_ros.resources import resource_path

MODEL = resource_path('models/metabev_nano')
GRAPH = 'camera_encoder'  # the first that is loaded


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model that may be spoiled."""
    copy = tmp_path / 'model'
    shutil.copytree(MODEL, copy)
    return copy


def change_contract(folder, change) -> None:
    path = folder / 'contract.json'
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def unknown_class(plain):
    plain['config']['detection_classes'][0] = 'tram'


def other_classes(plain):
    plain['config']['detection_classes'].reverse()


def other_input(plain):
    plain['inputs']['fusion_lidar'][0]['name'] = 'bev'
    plain['outputs']['fusion_lidar'][0]['dtype'] = 'float16'


def finer_grid(plain):
    plain['config']['bev_grid']['cell'] = 0.4
    plain['config']['lidar']['pillar'] = 0.2
    plain['config']['decoder']['cell'] = 0.8


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (unknown_class, ['tram']),
        (other_classes, ['config_sha256']),
        (
            other_input,
            [
                'inputs.fusion_lidar[0].name: "lidar_bev", "bev"',
                'outputs.fusion_lidar[0].dtype: "float32", "float16"',
            ],
        ),
        (finer_grid, ['inputs.fusion_fused[0].shape[2]: 256, 128', 'config_sha256']),
    ],
)
def test_row_087_another_models_contract_is_refused_with_a_list_of_differences(
    folder, change, named
):
    change_contract(folder, change)
    with pytest.raises(ContractError, match='contract.json') as caught:
        build_backend('onnxruntime', folder, 1)
    for difference in named:
        assert difference in caught.value.got


def malicious_pickle(canary):
    class Payload:
        def __reduce__(self):
            return os.system, (f'touch {canary}',)

    return pickle.dumps({'state_dict': Payload()})


def test_row_111_the_payload_would_run_if_it_were_unpickled(tmp_path):
    pickle.loads(malicious_pickle(tmp_path / 'canary'))
    assert (tmp_path / 'canary').exists()


@pytest.mark.parametrize('kind', ['onnxruntime', 'torch', 'tensorrt', 'tensorrt_rtx'])
def test_row_111_a_pickle_in_a_model_folder_is_never_loaded(folder, tmp_path, kind):
    canary = tmp_path / 'canary'
    for name in (
        'weights.pt',
        'weights.pth',
        'model.pkl',
        'camera_encoder.pt',
        'weights.safetensors',
        f'{GRAPH}.onnx',
    ):
        (folder / name).write_bytes(malicious_pickle(canary))
    change_contract(
        folder,
        lambda plain: plain['digests'].update(
            {f'{GRAPH}.onnx': sha256_of(folder / f'{GRAPH}.onnx')}
        ),
    )
    if kind == 'torch':
        pytest.importorskip('torch')
    with pytest.raises(MetaBevError):
        build_backend(kind, folder, 1)
    assert not canary.exists()


@pytest.mark.parametrize('suffix', ['.pt', '.pth'])
def test_row_111_the_converter_refuses_a_pickle_that_runs_code(tmp_path, suffix):
    pytest.importorskip('torch')
    from metabev_ros.lab.conversion.checkpoint import read_checkpoint

    canary, path = tmp_path / 'canary', tmp_path / f'weights{suffix}'
    path.write_bytes(malicious_pickle(canary))
    with pytest.raises(MetaBevError):
        read_checkpoint(path)
    assert not canary.exists()


def test_row_111_no_module_can_unpickle(repo_root):
    """torch.load only with weights_only=True, yaml.load only with a loader of plain data."""
    assert issubclass(plain_config._StrictLoader, yaml.SafeLoader)
    for path in sorted((repo_root / 'metabev_ros').rglob('*.py')):
        for call in (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ):
            name = ast.unparse(call.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name == 'yaml.load' and ast.unparse(call.args[1]) == '_StrictLoader':
                continue
            assert name not in (
                'pickle.load',
                'pickle.loads',
                'pickle.Unpickler',
                'eval',
                'exec',
                'yaml.load',
                'yaml.unsafe_load',
                'marshal.loads',
                'shelve.open',
                'joblib.load',
            ), f'{path}:{call.lineno} {name}'
            assert options.get('allow_pickle', 'False') == 'False', f'{path}:{call.lineno}'
            if name == 'torch.load':
                assert options.get('weights_only') == 'True', f'{path}:{call.lineno}'


def external(content: bytes, location: str, where: str = 'initializer') -> bytes:
    """The graph with one tensor moved to another file."""
    model = onnx.load_model_from_string(content)
    tensor = model.graph.initializer[0]
    if where == 'constant':
        tensor = TensorProto()
        tensor.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), 'planted'))
        model.graph.node.insert(0, helper.make_node('Constant', [], ['planted'], value=tensor))
        tensor = model.graph.node[0].attribute[0].t
    elif where == 'branch':
        tensor = TensorProto()
        tensor.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), 'planted'))
        inner = helper.make_graph(
            [],
            'inner',
            [],
            [helper.make_tensor_value_info('planted', TensorProto.FLOAT, [4])],
            [tensor],
        )
        model.graph.node.append(
            helper.make_node('If', ['c'], ['y'], then_branch=inner, else_branch=inner)
        )
        tensor = model.graph.node[-1].attribute[0].g.initializer[0]
    elif where == 'sparse':
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), 'planted'))
        tensor = sparse.values
    elif where == 'function':
        function = model.functions.add()
        function.name, function.domain = 'f', 'd'
        function.node.append(helper.make_node('Constant', [], ['y'], value=tensor))
        tensor = function.node[0].attribute[0].t
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = 'location', location
    return model.SerializeToString()


def plant(folder, content: bytes) -> None:
    (folder / f'{GRAPH}.onnx').write_bytes(content)
    change_contract(
        folder,
        lambda plain: plain['digests'].update(
            {f'{GRAPH}.onnx': sha256_of(folder / f'{GRAPH}.onnx')}
        ),
    )


@pytest.mark.parametrize('kind', ['parent', 'absolute', 'symlink', 'hardlink', 'plain'])
def test_row_112_external_data_is_refused_before_the_runtime_sees_it(
    folder, tmp_path, monkeypatch, kind
):
    secret = tmp_path / 'secret'
    secret.write_bytes(bytes(1 << 20))
    location = {'parent': '../secret', 'absolute': str(secret)}.get(kind, 'weights.bin')
    if kind in ('symlink', 'hardlink'):
        (os.symlink if kind == 'symlink' else os.link)(secret, folder / 'weights.bin')
    elif kind == 'plain':
        (folder / 'weights.bin').write_bytes(bytes(1 << 20))
    plant(folder, external((MODEL / f'{GRAPH}.onnx').read_bytes(), location))
    monkeypatch.chdir(folder)  # where a runtime would look for it
    loaded = []
    import onnxruntime

    original = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        'InferenceSession',
        lambda content, *a, **k: loaded.append(content) or original(content, *a, **k),
    )
    with pytest.raises(ContractError, match='all weights inside the file, got a tensor with ext'):
        build_backend('onnxruntime', folder, 1)
    assert (folder / f'{GRAPH}.onnx').read_bytes() not in loaded


@pytest.mark.parametrize('where', ['initializer', 'constant', 'branch', 'sparse', 'function'])
def test_row_112_external_data_is_found_wherever_a_tensor_can_be(where):
    content = (MODEL / f'{GRAPH}.onnx').read_bytes()
    refuse_external_data(content, 'clean')
    with pytest.raises(ContractError, match='planted.onnx: .*external data'):
        refuse_external_data(external(content, '../x', where), 'planted.onnx')


@pytest.mark.parametrize(
    'content', [b'\x3a', b'\x3a\xff\xff\xff\xff\x0f', b'\xff' * 20, b'\x0b', b'\x3a\x05\x0a']
)
def test_row_112_bytes_that_are_no_onnx_are_refused(content):
    with pytest.raises(ContractError, match='an ONNX file'):
        refuse_external_data(content, 'broken.onnx')


def test_row_112_graphs_nested_without_end_are_refused():
    content = b''
    for _ in range(100):  # graph -> node -> attribute -> graph ...
        for field in (0x32, 0x2A, 0x0A):
            size, number = len(content), b''
            while size > 127:
                number, size = number + bytes([size & 127 | 128]), size >> 7
            content = bytes([field]) + number + bytes([size]) + content
    with pytest.raises(ContractError):
        refuse_external_data(b'\x3a' + onnx_length(content) + content, 'deep.onnx')


def onnx_length(content: bytes) -> bytes:
    size, number = len(content), b''
    while size > 127:
        number, size = number + bytes([size & 127 | 128]), size >> 7
    return number + bytes([size])


@pytest.mark.parametrize(
    'name',
    [
        '../models/metabev_nano',
        'models/../config',
        'a\0b',
        'x' * 5000,
        '/etc',
        'm\u0435tabev_nano',
        '..',
        'models//../..',
        'metabev_nano/../../config',
        '\u202emetabev',
        'models/\0',
    ],
)
def test_row_113_a_model_name_that_leaves_the_packages_folders_is_refused(name):
    with pytest.raises(ConfigError):
        resource_path(name)
    with pytest.raises(ConfigError):
        resource_path(f'models/{name}')


def test_row_113_a_link_that_leads_out_of_the_packages_folder_is_refused(tmp_path, monkeypatch):
    checkout = tmp_path / 'checkout'
    (checkout / 'models').mkdir(parents=True)
    (tmp_path / 'elsewhere').mkdir()
    (checkout / 'models' / 'linked').symlink_to(tmp_path / 'elsewhere')
    (checkout / 'models' / 'inside').mkdir()
    (checkout / 'models' / 'alias').symlink_to(checkout / 'models' / 'inside')
    monkeypatch.setattr(resources, 'resource_root', lambda _: checkout)
    assert resource_path('models/alias').exists()
    with pytest.raises(ConfigError, match='a link to'):
        resource_path('models/linked')
