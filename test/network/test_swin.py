"""Swin-T against a plain implementation: one loop over cells, neighbours found by comparison."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from metabev_ros.network.swin import (
    DropPath,
    PatchMerging,
    SwinBlock,
    SwinTransformer,
    from_windows,
    shift_mask,
    to_windows,
)


def _place(index: int, length: int, shifted: bool) -> tuple[int, int, int]:
    """Window, region and place in the window of a cell, from the definition of cyclic shifting.

    A cell that the shift wraps around lands in the last window, in a region of its own.
    """
    shift = 3 if shifted and length > 7 else 0
    moved = (index - shift) % length
    return moved // 7, int(index < shift), moved % 7


def _plain_block(block: SwinBlock, x: torch.Tensor) -> torch.Tensor:
    """The block cell by cell: every query lists the cells of its window and region."""
    _, height, width, c = x.shape
    rows, columns = -(-height // 7) * 7, -(-width // 7) * 7
    normed = torch.zeros(rows, columns, c, dtype=x.dtype)  # padding: zeros after the norm
    normed[:height, :width] = block.norm1(x[0])
    attn, heads = block.attn, block.attn.heads
    qkv = attn.qkv(normed).reshape(rows, columns, 3, heads, c // heads)
    where = {
        (i, j): (_place(i, rows, block.shifted), _place(j, columns, block.shifted))
        for i, j in itertools.product(range(rows), range(columns))
    }
    out = torch.zeros(height, width, c, dtype=x.dtype)
    for i, j in itertools.product(range(height), range(width)):
        (wi, ri, pi), (wj, rj, pj) = where[i, j]
        keys = [
            (a, b)
            for (a, b), ((wa, ra, _), (wb, rb, _)) in where.items()
            if (wa, ra, wb, rb) == (wi, ri, wj, rj)
        ]
        index = torch.tensor(keys)
        bias = torch.stack(
            [
                attn.relative_position_bias_table[
                    (pi - where[k][0][2] + 6) * 13 + pj - where[k][1][2] + 6
                ]
                for k in keys
            ]
        )
        key, value = (qkv[index[:, 0], index[:, 1], part] for part in (1, 2))  # (K, heads, .)
        logits = (qkv[i, j, 0] * (c // heads) ** -0.5 * key).sum(-1) + bias
        out[i, j] = (logits.softmax(0)[..., None] * value).sum(0).reshape(c)
    x = x + attn.proj(out)[None]
    hidden = F.gelu(block.norm2(x) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
    return x + hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias


def _random(module):
    """Parameters far from their initial values, so that none is without effect."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.double().eval()


@pytest.mark.parametrize('shifted', [False, True])
@pytest.mark.parametrize('size', [(14, 14), (10, 16), (7, 15), (5, 3)])
@torch.no_grad()
def test_a_block_equals_attention_cell_by_cell_also_with_padding(size, shifted):
    block = _random(SwinBlock(8, 2, 4, 0.0, shifted))
    x = torch.randn(1, *size, 8, dtype=torch.float64)
    padded = [-(-length // 7) * 7 for length in size]
    mask = shift_mask(*padded, x.device).double()
    # -100 leaves e-44 of the weight, nothing in float64.
    torch.testing.assert_close(block(x, mask), _plain_block(block, x), atol=1e-11, rtol=1e-11)


@torch.no_grad()
def test_the_whole_network_equals_plain_blocks_merges_and_norms():
    network = _random(SwinTransformer(8, (2, 2), (2, 4)))
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    patches = images.reshape(2, 3, 16, 4, 24, 4).permute(0, 2, 4, 1, 3, 5).flatten(3)
    projection = network.patch_embed['projection']
    x = network.patch_embed['norm'](patches @ projection.weight.flatten(1).T + projection.bias)
    first, last = network.stages
    for block in first.blocks:
        x = torch.cat([_plain_block(block, image[None]) for image in x])
    quads = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
    x = first.downsample.norm(quads) @ first.downsample.reduction.weight.T
    for block in last.blocks:
        x = torch.cat([_plain_block(block, image[None]) for image in x])
    [actual] = network(images)
    expected = network.norms['1'](x).permute(0, 3, 1, 2)
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_windows_are_put_together_as_they_were_cut():
    x = torch.randn(2, 14, 21, 3)
    windows = to_windows(x)
    assert windows.shape == (2, 6, 49, 3)
    assert torch.equal(windows[1, 4], x[1, 7:14, 7:14].reshape(49, 3))
    assert torch.equal(from_windows(windows, 14, 21), x)


def test_swin_t_has_27_5_million_parameters():
    """28 288 354 of the published classifier, less head (769 000) and its norm (1 536), plus the
    norms of the three outputs, 2 x (192 + 384 + 768)."""
    count = sum(p.numel() for p in SwinTransformer().parameters())
    assert count == 28_288_354 - 769_000 - 1_536 + 2 * (192 + 384 + 768) == 27_520_506


@torch.inference_mode()
def test_swin_t_gives_strides_8_16_32_at_the_size_of_the_paper():
    maps = SwinTransformer().eval()(torch.randn(1, 3, 256, 704))
    assert [tuple(m.shape[1:]) for m in maps] == [(192, 32, 88), (384, 16, 44), (768, 8, 22)]


def test_checkpointing_changes_no_output_and_no_gradient():
    network = SwinTransformer(8, (2, 2), (2, 4), drop_path=0.0).train()
    images = torch.randn(1, 3, 64, 64)
    results = []
    for network.checkpointing in (False, True):
        network.zero_grad()
        [out] = network(images)
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in network.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_drop_path_keeps_the_mean_and_drops_whole_samples_in_training_only():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 2, 2))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(out.amin((1, 2)), out.amax((1, 2)))
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(drop.eval()(torch.ones(3, 1)), torch.ones(3, 1))


def test_drop_path_grows_from_zero_to_its_rate():
    rates = [block.drop_path.rate for stage in SwinTransformer().stages for block in stage.blocks]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.2)
    assert rates == sorted(rates) and len(rates) == 12


def test_patch_merging_concatenates_column_after_column():
    merging = PatchMerging(1)
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    x = torch.tensor([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    assert merging(x).flatten().tolist() == [1, 3, 2, 4]
