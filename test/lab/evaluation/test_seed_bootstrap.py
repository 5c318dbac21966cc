"""Intervals over drives and seeds: known answers, pairing, and coverage of a known truth."""

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.evaluation.bootstrap import drawn_drives
from metabev_ros.lab.evaluation.seed_bootstrap import SeedDraws, seed_interval

DRIVES, SEEDS, DRAWS = 20, 3, drawn_drives(20, 400)


def figure(of_drives):
    """Means over drives, of (seeds, drives) values."""
    return SeedDraws(of_drives.mean(1), of_drives[:, DRAWS].mean(2))


def test_without_chance_the_interval_is_the_value():
    same = SeedDraws(np.full(3, 0.7), np.full((3, 400), 0.7))
    found = seed_interval(same)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.7, 0.7))
    assert seed_interval(same.minus(same)).sign == 0


def test_what_all_drives_and_seeds_share_cancels_in_a_difference():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 5, (1, DRIVES)) + rng.normal(0, 3, (SEEDS, 1))
    ours, other = figure(hard + 0.01), figure(hard + np.zeros((SEEDS, DRIVES)))
    assert seed_interval(ours).high - seed_interval(ours).low > 2
    lead = seed_interval(ours.minus(other))
    assert lead.sign == 1 and (lead.low, lead.high) == pytest.approx((0.01, 0.01))


def test_three_seeds_that_differ_widen_the_interval_by_students_t():
    values = np.array([0.0, 0.01, 0.02])
    found = seed_interval(SeedDraws(values, np.repeat(values[:, None], 4000, 1)))
    assert found.value == pytest.approx(0.01) and found.sign == 0
    half = 4.303 * 0.01 / np.sqrt(3)  # quantile of two degrees of freedom
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_one_seed_speaks_of_drives_alone():
    rng = np.random.default_rng(0)
    drives = rng.normal(0.5, 0.1, (1, DRIVES))
    one = figure(drives)
    found = seed_interval(one)
    assert found.low == pytest.approx(np.percentile(one.draws[0], 2.5))
    assert np.isnan(one.spread)


def test_what_is_kept_is_a_share_draw_by_draw():
    clean = SeedDraws(np.array([0.5, 0.8]), np.array([[0.5, 0.4], [0.8, 0.8]]))
    failed = SeedDraws(np.array([0.25, 0.4]), np.array([[0.25, 0.2], [0.4, 0.4]]))
    kept = failed.over(clean)
    assert kept.values.tolist() == kept.draws.mean(1).tolist() == [0.5, 0.5]


def test_a_figure_that_is_undefined_has_no_interval():
    nothing = SeedDraws(np.full(2, np.nan), np.full((2, 5), np.nan))
    assert np.isnan(seed_interval(nothing).low) and seed_interval(nothing).sign == 0


def test_contestants_with_other_seeds_or_draws_are_no_pair():
    two, three = (SeedDraws(np.zeros(n), np.zeros((n, 5))) for n in (2, 3))
    with pytest.raises(ConfigError, match='finish all trainings'):
        three.minus(two)
    with pytest.raises(ConfigError):
        SeedDraws(np.zeros(2), np.zeros((3, 5)))


@pytest.mark.parametrize(
    ('of_drives', 'of_seeds'), [(1.0, 0.0), (0.0, 1.0), (1.0, 0.3), (1.0, 1.0)]
)
def test_the_interval_holds_the_true_difference_as_often_as_it_says(of_drives, of_seeds):
    """Worlds whose true difference is 0.5: drives decide, seeds decide, or both do.

    Resampling the seeds, too, would hold it in three quarters of the worlds where they decide.
    """
    rng, held, held_by_resampling, worlds = np.random.default_rng(2), 0, 0, 300
    seeds_drawn = rng.integers(0, SEEDS, (DRAWS.shape[0], SEEDS))
    for _ in range(worlds):
        shared = rng.normal(0, 3, (1, DRIVES))
        lead = 0.5 + rng.normal(0, of_drives, (1, DRIVES)) + rng.normal(0, of_seeds, (SEEDS, 1))
        lead = lead + rng.normal(0, 0.3, (SEEDS, DRIVES))
        ours, other = figure(shared + lead), figure(shared + np.zeros((SEEDS, DRIVES)))
        difference = ours.minus(other)
        found = seed_interval(difference)
        held += found.low <= 0.5 <= found.high
        again = difference.draws[seeds_drawn, np.arange(len(DRAWS))[:, None]].mean(1)
        low, high = np.percentile(again, [2.5, 97.5])
        held_by_resampling += low <= 0.5 <= high
    assert 0.91 <= held / worlds <= 0.99
    if of_drives == 0:
        assert held_by_resampling / worlds < 0.85
