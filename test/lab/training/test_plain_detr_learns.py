"""Check P13 of the Plain-DETR head: it learns scenes by heart, and sooner with BoxRPB."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from metabev_ros.config import RpbMode

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'boxrpb_pictures.py'


@pytest.fixture(scope='module')
def toy():
    """The tool that draws docs/plain_detr.md's picture: scenes of turned rectangles."""
    spec = importlib.util.spec_from_file_location('boxrpb_pictures', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_p13_eight_scenes_are_learned_to_a_recall_of_one(toy):
    trained = toy.train(RpbMode.BOX_FRAME, seed=0, steps=600)
    assert trained.recall() == 1.0


@pytest.mark.slow
def test_p13_after_as_many_steps_the_loss_is_lower_with_the_bias_than_without(toy):
    for seed in range(3):
        losses = {
            mode: np.mean(toy.train(mode, seed, steps=120).losses[-5:])
            for mode in (RpbMode.BOX_FRAME, RpbMode.NONE)
        }
        assert losses[RpbMode.BOX_FRAME] < losses[RpbMode.NONE], (seed, losses)
