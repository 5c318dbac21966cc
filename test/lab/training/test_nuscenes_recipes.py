"""The paper's training on nuScenes: each stage starts from what the stage before it gives."""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from support import published
from support.rendered import rendered_records
from support.small_networks import small_base
from test_train import log_of

from metabev_ros.config import DecoderFfn, ModelConfig, load_config
from metabev_ros.lab.conversion.convert import convert_checkpoint
from metabev_ros.lab.conversion.sources import Source
from metabev_ros.lab.training.config import Device, ModalityDraw, Precision, Sampling
from metabev_ros.lab.training.data import DataSource
from metabev_ros.lab.training.run import RunConfig, train_model
from metabev_ros.lab.training.warm_start import InitConfig, claimed_weights
from metabev_ros.network.metabev import MetaBev

STAGES = (
    'lidar_detection',
    'camera_detection',
    'lidar_map',
    'camera_map',
    'fused_detection',
    'fused_map',
    'multi_task',
    'switched_modality',
    'in_domain',
)
SWIN = 'swin_t.safetensors'
EPOCH = {Sampling.CBGS: 123_580, Sampling.UNIFORM: 28_130}  # samples (CBGS: mmdetection3d)


@pytest.fixture(scope='module')
def runs(repo_root):
    folder = repo_root / 'config/training/nuscenes'
    assert sorted(path.stem for path in folder.glob('*.yaml')) == sorted(STAGES)
    return {name: load_config(RunConfig, folder / f'{name}.yaml') for name in STAGES}


def test_every_stage_trains_the_base_model_with_ten_sweeps_on_the_same_records(runs, repo_root):
    base = load_config(ModelConfig, repo_root / 'config/models/metabev_base.yaml')
    for name, run in runs.items():
        both = name in ('multi_task', 'switched_modality', 'in_domain')
        expected = dataclasses.replace(
            base,
            name='metabev_base_nuscenes',
            lidar=dataclasses.replace(base.lidar, sweeps=10),
            decoder=dataclasses.replace(
                base.decoder, ffn=DecoderFfn.RM2OE if both else DecoderFfn.MLP
            ),
        )
        assert run.model == expected, name
        assert run.data == (DataSource(records='data/nuscenes_train'),)


def test_the_epochs_tasks_and_modalities_are_those_of_the_paper(runs):
    epochs = {'lidar_detection': 26, 'fused_detection': 26, 'in_domain': 10}
    for name, run in runs.items():
        training = run.training
        seen = training.steps * len(training.batch) / EPOCH[training.sampling]
        assert seen == pytest.approx(epochs.get(name, 20), rel=0.01), name
        kind, _, task = name.partition('_')
        if task in ('detection', 'map'):
            assert training.tasks == (task,)
            assert set(training.batch) == {kind}
            is_map = task == 'map'
            assert training.sampling is (Sampling.UNIFORM if is_map else Sampling.CBGS)
        else:
            assert training.detection_weight / training.map_weight == 10
        pasted = training.paste is not None
        assert pasted == (name not in ('camera_detection', 'in_domain') and 'map' not in name)
        if training.paste is not None:
            assert training.paste.fade_out == 0.8
            assert training.paste.cameras == ('camera' in training.batch or kind != 'lidar')
    assert runs['switched_modality'].training.draw is ModalityDraw.PER_SAMPLE
    assert runs['in_domain'].training.curriculum.probability > 0


def previous(part):
    """Name of the stage that a part of the start comes from."""
    top, nuscenes, stage = part.path.split('/')[:3]
    assert (top, nuscenes) == ('runs', 'nuscenes')
    return stage


def test_every_start_is_in_the_stage_before_with_its_shapes(runs, tmp_path):
    states = {}
    for name, run in runs.items():
        with torch.device('meta'):
            network = MetaBev(run.model)
        if run.training.init is not None:
            taken = set()
            for part in run.training.init.files:
                stage = previous(part)
                if stage == SWIN:
                    continue
                assert STAGES.index(stage) < STAGES.index(name)
                own = network.state_dict()
                for prefix in part.prefixes or ('',):
                    mine = {n for n in own if n.startswith(prefix)}
                    theirs = {n for n in states[stage] if n.startswith(prefix)}
                    assert mine == theirs and mine, (name, prefix)
                    assert all(own[n].shape == states[stage][n].shape for n in mine)
                    assert not taken & mine or not prefix
                    taken |= mine
            left = {n for n in network.state_dict() if n not in taken}
            if name == 'multi_task':  # only the experts start anew
                assert left and all('.ffn.' in n for n in left)
            elif taken:
                assert not left, name
        states[name] = network.state_dict()


def test_the_published_swin_gives_what_the_camera_stages_claim(runs, tmp_path):
    run = runs['camera_detection']
    checkpoint, out = tmp_path / 'swin.pth', tmp_path / SWIN
    torch.save({'model': published.random_state(published.swin(new_timm=False))}, checkpoint)
    convert_checkpoint(checkpoint, Source.SWIN, run.model, out)
    init = run.training.init
    assert previous(init) == SWIN
    network = MetaBev(run.model)
    taken = claimed_weights(network, dataclasses.replace(init, path=str(out)))
    assert sum(value.numel() for value in taken.values()) > 27e6


def small(model):
    """The stage's network in small: the same parts, the same number of layers."""
    base = small_base()
    return dataclasses.replace(
        base,
        lidar=dataclasses.replace(base.lidar, sweeps=model.lidar.sweeps),
        decoder=dataclasses.replace(
            base.decoder,
            ffn=model.decoder.ffn,
            cross_layers=model.decoder.cross_layers,
            self_layers=model.decoder.self_layers,
        ),
    )


def moved(init, folder):
    """The same start with runs/nuscenes elsewhere."""
    return InitConfig(
        init.path.replace('runs/nuscenes', str(folder)),
        init.prefixes,
        tuple(moved(part, folder) for part in init.also),
    )


@pytest.mark.timeout(900)
def test_the_chain_runs_one_small_step_a_stage(runs, tmp_path):
    first = small(runs['multi_task'].model)
    [records] = rendered_records(tmp_path / 'cache', first, 5000, 1, 2)
    with_swin = {
        name: value.contiguous()
        for name, value in MetaBev(first).state_dict().items()
        if name.startswith('camera_encoder.backbone.body')
    }
    save_file(with_swin, tmp_path / SWIN)
    for name, run in runs.items():
        training = run.training
        small_training = dataclasses.replace(
            training,
            steps=1,
            batch=training.batch[:2],
            device=Device.CPU,
            precision=Precision.FP32,
            threads=1,
            loaders=1,
            tensorboard=False,
            init=None if training.init is None else moved(training.init, tmp_path),
        )
        chosen = RunConfig(
            small(run.model), small_training, (DataSource(records=str(records.folder)),)
        )
        train_model(chosen, tmp_path / name, tmp_path / 'cache', 1)
        [line] = log_of(tmp_path / name)
        assert line['total'] > 0 and 'skipped' not in line, name
    card = (tmp_path / 'in_domain/MODEL_CARD.md').read_text()
    assert 'switched_modality/weights.safetensors' in card
