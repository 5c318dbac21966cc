"""The recipe of the weights from simulated streets gives the losses that were logged."""

import csv

import numpy as np
import pytest

from metabev_ros.config import load_config
from metabev_ros.lab.training.run import RunConfig, train_model

STEPS, WINDOW = 200, 25


class _Enough(Exception):
    pass


def logged(repo_root) -> np.ndarray:
    """(steps,) total loss of every step of the run that gave the weights."""
    with open(
        repo_root / 'docs/results/training_logs/streets_lidar.csv', encoding='utf-8'
    ) as file:
        return np.array([float(row['total']) for row in csv.DictReader(file)])


def windows(losses: np.ndarray) -> np.ndarray:
    return losses[:STEPS].reshape(-1, WINDOW).mean(1)


def test_the_log_is_of_the_recipe_and_learns(repo_root):
    recipe = load_config(RunConfig, repo_root / 'config/training/streets_lidar.yaml')
    losses = logged(repo_root)
    assert len(losses) == recipe.training.steps
    assert windows(losses)[-1] < 0.6 * windows(losses)[0]
    # What is compared below comes before the rate falls: it does not depend on the last step.
    assert recipe.training.steps - recipe.training.decay_steps >= STEPS


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_the_first_steps_of_the_recipe_give_the_logged_losses(repo_root, tmp_path):
    """Renders all worlds of stage 1; other processors round bfloat16 a little differently."""
    recipe = load_config(RunConfig, repo_root / 'config/training/streets_lidar.yaml')
    found: list[float] = []

    def stepped(step: int, terms: dict[str, float], rate: float) -> None:
        found.append(terms['total'])
        if step == STEPS:
            raise _Enough

    with pytest.raises(_Enough):
        train_model(recipe, tmp_path / 'run', tmp_path / 'cache', workers=2, stepped=stepped)
    np.testing.assert_allclose(found[0], logged(repo_root)[0], rtol=0.01)
    np.testing.assert_allclose(windows(np.array(found)), windows(logged(repo_root)), rtol=0.05)
