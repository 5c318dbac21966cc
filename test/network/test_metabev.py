"""The whole network: modality sets, missing sensors, and the shipped weights."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.small_networks import (
    DETECTION_HEADS,
    camera_images,
    sample_of,
    small_base,
    small_model,
    sweep,
)

from metabev_ros.backends.torch_backend import TorchBackend
from metabev_ros.config import (
    BevNeckKind,
    DecoderFfn,
    Fuser,
    Mixing,
    ModelConfig,
    load_config,
)
from metabev_ros.geometry import rigid_transform, rotation_z
from metabev_ros.graph_specs import graph_outputs, output_names
from metabev_ros.network.camera import CameraEncoder
from metabev_ros.network.metabev import Fusion, MetaBev
from metabev_ros.pipeline import Pipeline
from metabev_ros.preprocess.lift_splat import LiftSplatTables
from metabev_ros.structures import CameraCalibration, Modality, Sample

CONFIG = ModelConfig()
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
SETS = {'fused': (True, True), 'camera': (True, False), 'lidar': (False, True)}


@pytest.fixture(scope='module')
def network():
    return built(small_model())


def built(config: ModelConfig) -> MetaBev:
    """A network whose every output depends on every input: no zero is left in its weights."""
    torch.manual_seed(0)
    network = MetaBev(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


def select(modality: str, camera, lidar):
    has_camera, has_lidar = SETS[modality]
    return camera if has_camera else None, lidar if has_lidar else None


def equal(a, b) -> bool:
    a, b = a.named(), b.named()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@torch.inference_mode()
def test_a_batch_of_three_modalities_equals_the_three_single_runs(network):
    samples = [select(name, *sample_of(network.config, i)[:2]) for i, name in enumerate(SETS)]
    together, depths = network(*map(list, zip(*samples, strict=True)))
    assert [d is not None for d in depths] == [True, True, False]
    for i, (camera, lidar) in enumerate(samples):
        alone, _ = network([camera], [lidar])
        for name, tensor in alone.named().items():
            torch.testing.assert_close(
                together.named()[name][i : i + 1], tensor, atol=1e-5, rtol=1e-5
            )


BASE_PARTS = [
    small_model('transfusion', DecoderFfn.RM2OE),
    small_model('groups', DecoderFfn.HM2OE),
    small_model(),
]


@pytest.mark.parametrize('config', BASE_PARTS, ids=['rm2oe', 'hm2oe', 'mlp'])
@torch.inference_mode()
def test_check_2_camera_only_output_is_bit_identical_whatever_the_lidar_of_the_batch_holds(config):
    """Depth branch included: the camera branch is free of LiDAR by construction."""
    network = built(config)
    (c0, _, _), (c1, l1, _), (_, other, _) = (sample_of(config, i) for i in range(3))
    first, first_depth = network([c0, c1], [None, l1])
    second, second_depth = network([c0, c1], [None, other])
    for name, tensor in first.named().items():
        assert torch.equal(tensor[0], second.named()[name][0]), name
    assert all(map(torch.equal, first_depth, second_depth))
    assert not torch.equal(first.map_logits[1], second.map_logits[1])  # the LiDAR does matter


@pytest.mark.parametrize('config', BASE_PARTS, ids=['rm2oe', 'hm2oe', 'mlp'])
@torch.inference_mode()
def test_check_2_lidar_only_output_is_bit_identical_whatever_the_cameras_of_the_batch_hold(config):
    network = built(config)
    (_, l0, _), (c1, l1, _), (other, _, _) = (sample_of(config, i) for i in range(3))
    first, _ = network([None, c1], [l0, l1])
    second, _ = network([None, other], [l0, l1])
    for name, tensor in first.named().items():
        assert torch.equal(tensor[0], second.named()[name][0]), name
    assert not torch.equal(first.map_logits[1], second.map_logits[1])


@pytest.mark.parametrize(('present', 'absent'), [('camera', 'lidar'), ('lidar', 'camera')])
@torch.inference_mode()
def test_check_2_the_weights_of_the_absent_modality_have_no_say(present, absent):
    network = built(small_model())
    inputs = select(present, *sample_of(network.config, 0)[:2])
    before, _ = network([inputs[0]], [inputs[1]])
    for name, parameter in network.named_parameters():
        if absent in name:
            parameter.fill_(float('nan'))
    after, _ = network([inputs[0]], [inputs[1]])
    assert equal(before, after)


def test_check_2_at_the_pipeline_the_dropped_sensor_leaves_no_trace(network):
    """The sample's modality decides, not what its arrays happen to hold."""
    config = network.config
    pipeline = Pipeline(config, TorchBackend(network, config), 'test')
    rng = np.random.default_rng(0)
    images = {str(i): image for i, image in enumerate(camera_images(config, 2, rng))}
    others = {str(i): image for i, image in enumerate(camera_images(config, 2, rng))}
    sweeps = [sweep(config, rng), sweep(config, rng)]

    def run(cameras, lidar, modality):
        result = pipeline(Sample(0, cameras, lidar, modality))
        found = result.detections
        return [found.boxes, found.scores, found.labels, result.map_probabilities]

    def same(a, b):
        return all(map(np.array_equal, a, b))

    camera_only = [run(images, lidar, Modality.CAMERA) for lidar in (*sweeps, None)]
    assert same(camera_only[0], camera_only[1]) and same(camera_only[0], camera_only[2])
    lidar_only = [run(cameras, sweeps[0], Modality.LIDAR) for cameras in (images, others)]
    assert same(*lidar_only)
    fused = run(images, sweeps[0], Modality.FUSED)
    assert not same(fused, camera_only[0]) and not same(fused, lidar_only[0])


@pytest.mark.parametrize(('present', 'absent'), [('camera', 'lidar'), ('lidar', 'camera')])
def test_check_3_a_step_of_one_modality_trains_the_shared_parts_and_not_the_other_modality(
    present, absent
):
    network = built(small_model()).train()
    camera, lidar = select(present, *sample_of(network.config, 0)[:2])
    output, _ = network([camera, camera], [lidar, lidar])
    sum(t.square().sum() for t in output.named().values()).backward()
    for name, parameter in network.named_parameters():
        if absent in name:
            assert parameter.grad is None, name
        elif 'depth_and_context' not in name:
            assert parameter.grad is not None, name
    assert network.fusion.decoder.meta_bev.grad.abs().sum() > 0
    assert network.fusion.decoder.cross_layers[0].attention.value_proj.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('ffn', DecoderFfn)
@torch.inference_mode()
def test_check_3_one_set_of_weights_serves_all_three_modes(ffn):
    config = small_model(ffn=ffn)
    network, copy = built(config), MetaBev(config).eval()
    copy.load_state_dict(network.state_dict(), strict=True)
    camera, lidar, _ = sample_of(config, 0)
    outputs = []
    for modality in SETS:
        inputs = select(modality, camera, lidar)
        output, _ = network([inputs[0]], [inputs[1]])
        assert equal(output, copy([inputs[0]], [inputs[1]])[0])
        outputs.append(output)
    assert not equal(outputs[0], outputs[1]) and not equal(outputs[1], outputs[2])


@torch.inference_mode()
def test_check_7_six_black_views_are_not_a_missing_camera(network):
    """View drop: the encoder runs on zeros. Missing camera: it does not run at all."""
    camera, lidar, _ = sample_of(network.config, 0, views=6)
    runs = []
    handle = network.camera_encoder.backbone.register_forward_hook(
        lambda module, given, out: runs.append(len(given[0]))
    )
    black, _ = network([{**camera, 'images': torch.zeros_like(camera['images'])}], [lidar])
    assert runs == [6]
    missing, _ = network([None], [lidar])
    assert runs == [6]
    handle.remove()
    assert not equal(black, missing)
    for name, tensor in black.named().items():
        assert not torch.equal(tensor, missing.named()[name]), name


@pytest.mark.parametrize('head', DETECTION_HEADS)
@pytest.mark.parametrize('ffn', DecoderFfn)
@pytest.mark.parametrize('modality', SETS)
def test_every_head_ffn_and_modality_set_has_its_shapes_and_gradients(head, ffn, modality):
    config = small_model(head, ffn)
    network = built(config).train()
    samples = [select(modality, *sample_of(config, i)[:2]) for i in range(2)]
    output, depths = network(*map(list, zip(*samples, strict=True)))
    specs = {spec.name: spec.shape for spec in graph_outputs(config)['fusion_fused']}
    assert tuple(specs) == output_names(config)
    for name, shape in specs.items():
        assert output.named()[name].shape == (2, *shape[1:]), name
        assert output.named()[name].isfinite().all()
    assert [d is not None for d in depths] == 2 * [SETS[modality][0]]
    total = sum((t * torch.randn_like(t)).sum() for t in output.named().values())
    total.backward()
    absent = {'camera': 'lidar', 'lidar': 'camera'}.get(modality)
    unused = [
        name
        for name, p in network.named_parameters()
        if p.grad is None and (absent is None or absent not in name)
    ]
    assert unused == []
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize('horfpn', [None, *Mixing])
@pytest.mark.parametrize('neck', BevNeckKind)
@torch.inference_mode()
def test_the_baseline_takes_the_decoders_place(neck, horfpn):
    config = small_model(fuser=Fuser.CONV, neck=neck, horfpn=horfpn)
    network = built(config)
    camera, lidar, _ = sample_of(config, 0)
    expected = {spec.name: spec.shape for spec in graph_outputs(config)['fusion_fused']}
    for modality in SETS:
        inputs = select(modality, camera, lidar)
        output, _ = network([inputs[0]], [inputs[1]])
        assert {name: tuple(t.shape) for name, t in output.named().items()} == expected


@pytest.mark.parametrize(
    ('task', 'names'), [('detection', {'heatmap', 'boxes'}), ('map', {'map_logits'})]
)
@pytest.mark.parametrize('ffn', DecoderFfn)
def test_a_single_task_runs_and_trains_its_own_parts_only(task, names, ffn):
    config = small_model(ffn=ffn)
    network = built(config).train()
    camera, lidar, _ = sample_of(config, 0)
    output, _ = network([camera, camera], [lidar, lidar], tasks=(task,))
    assert set(output.named()) == names
    sum(t.square().sum() for t in output.named().values()).backward()
    other = {'detection': 'map', 'map': 'detection'}[task]
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    assert any(name.startswith(f'fusion.{task}.') for name in touched)
    assert not any(f'.{other}.' in name for name in touched)


def test_the_base_network_has_the_papers_shapes(repo_root):
    config = load_config(ModelConfig, repo_root / 'config' / 'models' / 'metabev_base.yaml')
    with torch.device('meta'):
        fusion = Fusion(config).eval()
        for layer in (*fusion.decoder.cross_layers, *fusion.decoder.self_layers):
            layer.ffn.dispatched = layer.ffn.wide  # meta tensors choose no rows
        maps = {'camera': torch.zeros(1, 80, 180, 180), 'lidar': torch.zeros(1, 256, 180, 180)}
        fused = fusion.decoder(maps)
        assert fused.shape == (1, 256, 180, 180)
        assert fusion.neck(fused).shape == (1, 512, 180, 180)
        output = fusion.heads(fused)
    assert output.detection['heatmap'].shape == (1, 10, 180, 180)
    assert output.detection['boxes'].shape == (1, 10, 200)
    assert output.detection['class_logits'].shape == (1, 10, 200)
    assert output.map_logits.shape == (1, 6, 200, 200)


def test_the_small_base_network_is_the_base_configuration_but_for_sizes(repo_root):
    base = load_config(ModelConfig, repo_root / 'config' / 'models' / 'metabev_base.yaml')
    small = small_base()
    for part, name in (
        ('camera', 'backbone'),
        ('camera', 'neck'),
        ('camera', 'splat_factor'),
        ('lidar', 'encoder'),
        ('decoder', 'fuser'),
        ('decoder', 'ffn'),
        ('head', 'detection'),
        ('head', 'neck'),
        ('head', 'map_blocks'),
    ):
        assert getattr(getattr(small, part), name) == getattr(getattr(base, part), name)


def test_the_shipped_weights_fit_strictly_and_are_the_default_configuration(repo_root):
    folder = repo_root / 'models' / 'metabev_nano'
    network = MetaBev(load_config(ModelConfig, folder / 'config.yaml')).eval()
    network.load_state_dict(load_file(folder / 'weights.safetensors'), strict=True)
    assert sum(p.numel() for p in network.fusion.decoder.parameters()) == 609_936
    assert dataclasses.replace(network.config, name=CONFIG.name) == CONFIG


def calibration(yaw: float) -> CameraCalibration:
    intrinsics = np.array([[280.0, 0, 176], [0, 280, 60], [0, 0, 1]])
    return CameraCalibration(
        352, 128, intrinsics, rigid_transform(rotation_z(yaw) @ OPTICAL, [1, 0, 1.5])
    )


@torch.inference_mode()
def test_an_absent_view_leaves_no_trace_in_the_camera_map():
    torch.manual_seed(0)
    encoder = CameraEncoder(CONFIG.camera, CONFIG.bev_grid).eval()
    build = LiftSplatTables(CONFIG.camera, CONFIG.bev_grid)
    images = torch.randint(0, 256, (2, 128, 352, 3), dtype=torch.uint8)
    forward_only = {k: torch.from_numpy(v) for k, v in build([calibration(0.0)]).items()}
    bev, _ = encoder(images[:1], forward_only)
    behind = bev[..., :, :40]  # x < -19 m: only a rear camera could see it
    constant = behind[..., :1, :1].expand_as(behind)
    torch.testing.assert_close(behind[..., 1:-1, 1:-1], constant[..., 1:-1, 1:-1])


@torch.inference_mode()
def test_splat_equals_a_scatter_add_of_depth_times_context():
    torch.manual_seed(0)
    encoder = CameraEncoder(CONFIG.camera, CONFIG.bev_grid).eval()
    build = LiftSplatTables(CONFIG.camera, CONFIG.bev_grid)
    cameras = [calibration(0.0), calibration(0.9)]
    tables = {k: torch.from_numpy(v) for k, v in build(cameras).items()}
    depth = torch.rand(2, CONFIG.camera.depth_bins, 16, 44, dtype=torch.float64)
    context = torch.rand(2, CONFIG.camera.context_channels, 16, 44, dtype=torch.float64)
    cells = torch.from_numpy(np.concatenate([build.view_cells(c) for c in cameras])).long()
    points = (depth[:, :, None] * context[:, None]).permute(0, 1, 3, 4, 2).reshape(len(cells), -1)
    expected = torch.zeros(128 * 128, points.shape[1], dtype=torch.float64)
    expected.index_add_(0, cells[cells >= 0], points[cells >= 0])
    actual = encoder.splat(depth, context, tables)
    torch.testing.assert_close(actual[0].flatten(1).t(), expected, atol=1e-10, rtol=1e-10)
