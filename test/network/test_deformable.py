"""The sampling core against Deformable-DETR's reference function and against a plain loop."""

import itertools

import numpy as np
import pytest
import torch

from metabev_ros.network.deformable import Sampling, at_least_float32, corners, sample_sources

CASES = ['deformable_detr_test_seed3', 'outside_border', 'bev_like']


def as_sources(value, shapes, locations, weights):
    """Deformable-DETR's flattened levels -> one map, places and weights per source."""
    parts = value.split([h * w for h, w in shapes], 1)  # (B, h w, heads, c)
    values = [
        part.flatten(2).transpose(1, 2).reshape(len(part), -1, h, w)
        for part, (h, w) in zip(parts, shapes, strict=True)
    ]
    return values, list(locations.unbind(3)), list(weights.unbind(3))


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('form', Sampling)
def test_values_and_gradients_equal_the_deformable_detr_reference(
    shared_data, form, case, dtype, tolerance
):
    path = shared_data / 'deformable_attention' / f'{case}.npz'
    if not path.exists():
        pytest.skip(f'no reference arrays at {path}')
    data = np.load(path)
    names = ('value', 'sampling_locations', 'attention_weights')
    inputs = [torch.from_numpy(data[name]).to(dtype).requires_grad_() for name in names]
    shapes = [tuple(shape) for shape in data['spatial_shapes'].tolist()]
    output = sample_sources(*as_sources(inputs[0], shapes, *inputs[1:]), form)
    output.backward(torch.from_numpy(data['grad_output']).to(dtype))
    assert output.dtype is dtype
    error = np.abs(output.detach().double().numpy() - data['output_f64']).max()
    assert error < tolerance
    for tensor, name in zip(inputs, names, strict=True):
        expected = data[f'grad_{name}']
        error = tensor.grad.double().numpy() - expected
        # In float32 a place on an 88-cell map is known to 4e-6 cells: single gradients, which are
        # sums over channels of slopes, differ by that much whatever computes them.
        assert np.linalg.norm(error) < tolerance * np.linalg.norm(expected), name
        if dtype is torch.float64:
            assert np.abs(error).max() < tolerance * max(1, np.abs(expected).max()), name


def bilinear(value, x, y):
    """One sample of (C, Y, X) at pixel coordinates with zero padding, in plain Python."""
    total = torch.zeros(value.shape[0], dtype=value.dtype)
    x0, y0 = int(torch.floor(x)), int(torch.floor(y))
    for row, column in itertools.product((y0, y0 + 1), (x0, x0 + 1)):
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]:
            total += value[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def loop(values, locations, weights):
    """The definition, one sample at a time."""
    b, q, heads, points, _ = locations[0].shape
    channels = values[0].shape[1] // heads
    total = torch.zeros(b, q, heads * channels, dtype=values[0].dtype)
    for value, where, weight in zip(values, locations, weights, strict=True):
        height, width = value.shape[-2:]
        for i, j, m, k in itertools.product(range(b), range(q), range(heads), range(points)):
            x = where[i, j, m, k, 0] * width - 0.5
            y = where[i, j, m, k, 1] * height - 0.5
            part = slice(m * channels, (m + 1) * channels)
            total[i, j, part] += weight[i, j, m, k] * bilinear(value[i, part], x, y)
    return total


def small_case(seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    values = [draw(2, 6, 5, 7), draw(2, 6, 4, 3)]
    locations = [draw(2, 4, 2, 3, 2) * 1.4 - 0.2 for _ in values]  # some outside the maps
    return values, locations, [draw(2, 4, 2, 3) for _ in values]


@pytest.mark.parametrize('form', Sampling)
def test_sampling_equals_a_plain_loop_over_sources_queries_heads_and_points(form):
    values, locations, weights = small_case()
    torch.testing.assert_close(
        sample_sources(values, locations, weights, form),
        loop(values, locations, weights),
        atol=1e-13,
        rtol=1e-13,
    )


def test_gradients_equal_those_of_the_plain_loop():
    gradients = []
    for function in (sample_sources, loop):
        inputs = [[t.requires_grad_() for t in part] for part in small_case(1)]
        function(*inputs).square().sum().backward()
        gradients.append([t.grad for part in inputs for t in part])
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize(
    ('given', 'kept'),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_only_half_precision_is_raised(given, kept):
    assert at_least_float32(torch.zeros(1, dtype=given)).dtype is kept
    values, locations, weights = ([t.to(given) for t in part] for part in small_case())
    assert sample_sources(values, locations, weights).dtype is kept


def test_corners_stay_on_the_map_wherever_a_place_is():
    """A look-up outside is a crash in one runtime and another tensor's memory in the next."""
    wild = torch.tensor(
        [[0.5, 0.5], [0, 1], [-1e9, 1e9], [float('inf'), -float('inf')], [float('nan'), 0.2]]
    )
    cells, shares = corners(wild, 5, 7)
    assert cells.dtype == torch.int32 and cells.min() >= 0 and cells.max() < 5 * 7
    assert (shares[2:4] == 0).all()
    torch.testing.assert_close(shares[:2].sum(-1), torch.tensor([1.0, 0.25]))
