"""The Plain-DETR head learns scenes by heart, and sooner with BoxRPB."""

import numpy as np
import pytest
from support import toy_scenes

from metabev_ros.config import RpbMode


@pytest.mark.slow
def test_eight_scenes_are_learned_to_a_recall_of_one():
    trained = toy_scenes.train(RpbMode.BOX_FRAME, seed=0, steps=600)
    assert trained.recall() == 1.0


@pytest.mark.slow
def test_after_as_many_steps_the_loss_is_lower_with_the_bias_than_without():
    for seed in range(3):
        losses = {
            mode: np.mean(toy_scenes.train(mode, seed, steps=120).losses[-5:])
            for mode in (RpbMode.BOX_FRAME, RpbMode.NONE)
        }
        assert losses[RpbMode.BOX_FRAME] < losses[RpbMode.NONE], (seed, losses)
