"""Weights with fewer bits are the nearest that there are."""

import numpy as np
import pytest
from short_weights import LOST_BITS, shortened


@pytest.mark.parametrize('lost', [1, LOST_BITS, 15])
def test_every_value_is_the_nearest_of_those_with_zero_bits(lost):
    values = np.random.default_rng(0).normal(0, 1, 20_000).astype(np.float32)
    got = shortened(values, lost)
    bits = got.view(np.uint32)
    assert not (bits & ((1 << lost) - 1)).any()
    step = np.spacing(np.abs(values)).astype(np.float64) * 2**lost
    assert (np.abs(got.astype(np.float64) - values) <= step / 2).all()
    np.testing.assert_array_equal(shortened(got, lost), got)


@pytest.mark.parametrize('value', [0.0, -0.0, np.inf, -np.inf, np.finfo(np.float32).max, 1e-45])
def test_edges_stay_what_they_are(value):
    got = shortened(np.array([value], np.float32))
    assert np.isfinite(got[0]) == np.isfinite(np.float32(value))
    assert got[0] == np.float32(value) or abs(got[0] - np.float32(value)) < 1e-38


def test_no_number_stays_none_and_whole_numbers_are_not_touched():
    assert np.isnan(shortened(np.array([np.nan], np.float32))[0])
    counts = np.arange(5, dtype=np.int64)
    assert shortened(counts) is counts
