"""A Plain-DETR model through export, the parity gate and the pipeline, in every branch."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from metabev_ros.config import (
    CameraBranchConfig,
    DecoderConfig,
    DetectionHead,
    HeadConfig,
    LidarBranchConfig,
    ModelConfig,
    PlainDetrConfig,
    QueryContent,
    RpbMode,
    save_config,
)
from metabev_ros.config.plain_detr import BoxRpbConfig, HybridConfig
from metabev_ros.graph_specs import graph_outputs
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.export.to_onnx import export_model
from metabev_ros.network.metabev import MetaBev
from metabev_ros.network.plain_detr import PlainDetrHead
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality

EXTRA = 37  # a size that no other tensor of the network has
SMALL = ModelConfig(
    name='small_plain_detr',
    camera=CameraBranchConfig(
        height=64, width=160, feature_channels=16, context_channels=8, bev_channels=8
    ),
    lidar=LidarBranchConfig(pillar_channels=8, bev_channels=8, max_pillars=2000),
    decoder=DecoderConfig(channels=16, heads=2, points=2, cross_layers=1),
    head=HeadConfig(
        detection=DetectionHead.PLAIN_DETR,
        proposals=20,
        neck_channels=8,
        det_channels=16,
        map_channels=8,
        score_threshold=0.0,
        plain_detr=PlainDetrConfig(
            layers=2,
            heads=2,
            ffn_channels=32,
            key_stride=8,
            content=QueryContent.LEARNED,
            boxrpb=BoxRpbConfig(mode=RpbMode.BOX_FRAME, hidden=16, knots=64, reach=32.0),
            hybrid=HybridConfig(queries=EXTRA),
        ),
    ),
)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Folder of a model with random weights, and the network."""
    run, folder = tmp_path_factory.mktemp('run'), tmp_path_factory.mktemp('models') / 'small'
    torch.manual_seed(0)
    network = MetaBev(SMALL).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    save_config(SMALL, run / 'config.yaml')
    save_file(network.state_dict(), run / 'weights.safetensors')
    export_model(folder, run, report=lambda line: None, seed=0)  # raises if the gate refuses
    return folder, network


def test_the_exported_graphs_carry_no_query_of_one_to_many_matching(exported):
    folder, network = exported
    assert any(EXTRA in p.shape for p in network.parameters())
    for path in folder.glob('*.onnx'):
        for tensor in onnx.load(path).graph.initializer:
            assert EXTRA not in tensor.dims, (path.name, tensor.name)


def test_the_pipeline_runs_the_exported_model_in_every_branch(exported):
    folder, _ = exported
    pipeline = Pipeline.load(folder, threads=1)
    sample = sample_from_frame(
        SyntheticDrive(900_900, DriveConfig(frames=1))[0], pipeline.prepare_image
    )
    assert [spec.name for spec in graph_outputs(SMALL)['fusion_fused']] == [
        'boxes',
        'class_logits',
        'map_logits',
    ]
    scores = []
    for modality in (Modality.FUSED, Modality.CAMERA, Modality.LIDAR):
        result = pipeline(restrict_to(sample, modality))
        boxes = result.detections.boxes
        assert 0 < len(boxes) <= SMALL.head.proposals
        assert np.isfinite(boxes).all() and (boxes[:, 3:6] >= 0.2 - 1e-4).all()
        assert (np.abs(boxes[:, :2]) <= 51.2 + 1e-3).all()
        assert result.map_probabilities.shape == (6, 200, 200)
        scores.append(result.detections.scores[:5].tolist())
    assert scores[0] != scores[1] != scores[2]


def test_the_published_form_of_the_bias_is_traced_to_what_the_head_gives():
    rpb = BoxRpbConfig(mode=RpbMode.AABB, hidden=16)
    plain = dataclasses.replace(SMALL.head.plain_detr, boxrpb=rpb)
    torch.manual_seed(0)
    head = PlainDetrHead(
        dataclasses.replace(SMALL.head, plain_detr=plain), SMALL.detection_classes, SMALL.bev_grid
    ).eval()
    x = torch.randn(1, 8, 128, 128)
    program = torch.onnx.export(head, (x,), dynamo=True, opset_version=18, verbose=False)
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=['CPUExecutionProvider']
    )
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.inference_mode():
        expected = head(x)
    for name, array in zip(('boxes', 'class_logits'), got, strict=False):
        np.testing.assert_allclose(array, expected[name].numpy(), atol=2e-4, rtol=2e-4)
