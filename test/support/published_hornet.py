"""HorNet checkpoints as raoyongming/HorNet and mmpretrain name them, and what they compute.

Nothing here reads our modules: names, shapes and arithmetic are written down from the
definitions (Rao et al. 2022, section 3).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Shapes = dict[str, tuple[int, ...]]
FILTERS = {2: (14, 8), 3: (7, 4)}


def _affine(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def hornet(
    width: int = 64, depths=(2, 3, 18, 2), gf: bool = False, classes: int = 1000, filters=FILTERS
) -> Shapes:
    """The classifier of raoyongming/HorNet."""
    shapes = {
        **_affine('downsample_layers.0.0', (width, 3, 4, 4)),
        **_affine('downsample_layers.0.1', (width,)),
        **_affine('norm', (8 * width,)),
        **_affine('head', (classes, 8 * width)),
    }
    for i, depth in enumerate(depths):
        c = width << i
        if i > 0:
            shapes |= {
                **_affine(f'downsample_layers.{i}.0', (c // 2,)),
                **_affine(f'downsample_layers.{i}.1', (c, c // 2, 2, 2)),
            }
        for j in range(depth):
            shapes |= _block(f'stages.{i}.{j}', c, i + 2, filters[i] if gf and i > 1 else None)
    return shapes


def _block(name: str, c: int, order: int, stored: tuple[int, int] | None) -> Shapes:
    gate, dims = f'{name}.gnconv', [c // 2**k for k in range(order)][::-1]
    total = sum(dims)
    shapes = {
        **_affine(f'{name}.norm1', (c,)),
        **_affine(f'{name}.norm2', (c,)),
        f'{name}.gamma1': (c,),
        f'{name}.gamma2': (c,),
        **_affine(f'{name}.pwconv1', (4 * c, c)),
        **_affine(f'{name}.pwconv2', (c, 4 * c)),
        **_affine(f'{gate}.proj_in', (2 * c, c, 1, 1)),
        **_affine(f'{gate}.proj_out', (c, c, 1, 1)),
    }
    for k in range(order - 1):
        shapes |= _affine(f'{gate}.pws.{k}', (dims[k + 1], dims[k], 1, 1))
    if stored is None:
        return shapes | _affine(f'{gate}.dwconv', (total, 1, 7, 7))
    return shapes | {
        f'{gate}.dwconv.dw.weight': (total // 2, 1, 3, 3),
        f'{gate}.dwconv.complex_weight': (total // 2, *stored, 2),
        **_affine(f'{gate}.dwconv.pre_norm', (total,)),
        **_affine(f'{gate}.dwconv.post_norm', (total,)),
    }


def as_detector(shapes: Shapes, width: int = 64) -> Shapes:
    """The same trunk inside one of its published detectors."""
    trunk = {
        f'backbone.{name}': shape
        for name, shape in shapes.items()
        if not name.startswith(('norm.', 'head.'))
    }
    norms = {}
    for i in range(4):
        norms |= _affine(f'backbone.norm{i}', (width << i,))
    return {
        **trunk,
        **norms,
        **_affine('neck.lateral_convs.0.conv', (256, width, 1, 1)),
        **_affine('roi_head.bbox_head.0.fc_cls', (81, 1024)),
    }


def as_mmpretrain(shapes: Shapes) -> Shapes:
    """The classifier in mmpretrain's names."""
    renamed = {}
    for name, shape in shapes.items():
        if name.startswith('norm.'):
            name = f'backbone.norm3.{name[5:]}'
        elif name.startswith('head.'):
            name = f'head.fc.{name[5:]}'
        else:
            name = 'backbone.' + name.replace('.pws.', '.projs.')
            name += '.weight' if name.endswith(('gamma1', 'gamma2')) else ''
        renamed[name] = shape
    return renamed


def _norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    return (
        state[f'{name}.weight'][:, None, None] * (x - mean) / (variance + 1e-6).sqrt()
        + state[f'{name}.bias'][:, None, None]
    )


def _conv(x: Tensor, state: dict[str, Tensor], name: str, **options) -> Tensor:
    return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], **options)


def _spread(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """The depthwise part of a gnConv."""
    if f'{name}.weight' in state:
        return _conv(x, state, name, padding=3, groups=x.shape[1])
    near, far = _norm(x, state, f'{name}.pre_norm').chunk(2, 1)
    near = F.conv2d(near, state[f'{name}.dw.weight'], padding=1, groups=near.shape[1])
    frequencies = torch.fft.rfft2(far, norm='ortho')
    stored = state[f'{name}.complex_weight'].permute(3, 0, 1, 2)
    kernel = F.interpolate(stored, size=frequencies.shape[2:], mode='bilinear', align_corners=True)
    far = torch.fft.irfft2(
        frequencies * torch.complex(kernel[0], kernel[1]), s=far.shape[2:], norm='ortho'
    )
    n, c, h, w = near.shape
    mixed = torch.cat([near[:, :, None], far[:, :, None]], 2).reshape(n, 2 * c, h, w)
    return _norm(mixed, state, f'{name}.post_norm')


def _gnconv(x: Tensor, state: dict[str, Tensor], name: str, order: int) -> Tensor:
    dims = [x.shape[1] // 2**k for k in range(order)][::-1]
    both = _conv(x, state, f'{name}.proj_in')
    y, q = both[:, : dims[0]], _spread(both[:, dims[0] :], state, f'{name}.dwconv') / 3
    for k, gate in enumerate(q.split(dims, 1)):
        y = (y if k == 0 else _conv(y, state, f'{name}.pws.{k - 1}')) * gate
    return _conv(y, state, f'{name}.proj_out')


def logits(state: dict[str, Tensor], images: Tensor, depths) -> Tensor:
    """What the published classifier gives, from its names alone."""
    x = images
    for i, depth in enumerate(depths):
        layers = f'downsample_layers.{i}.'
        x = (
            _norm(_conv(x, state, layers + '0', stride=4), state, layers + '1')
            if i == 0
            else _conv(_norm(x, state, layers + '0'), state, layers + '1', stride=2)
        )
        for j in range(depth):
            name = f'stages.{i}.{j}'
            y = _gnconv(_norm(x, state, f'{name}.norm1'), state, f'{name}.gnconv', i + 2)
            x = x + state[f'{name}.gamma1'][:, None, None] * y
            y = _norm(x, state, f'{name}.norm2').movedim(1, -1)
            y = F.gelu(F.linear(y, state[f'{name}.pwconv1.weight'], state[f'{name}.pwconv1.bias']))
            y = F.linear(y, state[f'{name}.pwconv2.weight'], state[f'{name}.pwconv2.bias'])
            x = x + (state[f'{name}.gamma2'] * y).movedim(-1, 1)
    pooled = _norm(x.mean((-2, -1), keepdim=True), state, 'norm').flatten(1)
    return F.linear(pooled, state['head.weight'], state['head.bias'])
