"""Smooth edges of what is drawn in pixels."""

from __future__ import annotations

from statistics import NormalDist

import cv2
import numpy as np

_SOFTNESS = 3.0  # pixels: standard deviation of the blur
_SIGHT = 2.4  # standard deviations in which the distance is good


def node_distance(
    mask: np.ndarray, cell: float, step: int, multiple: int, reach: float = 0.0
) -> np.ndarray:
    """Metres from the edge of a mask at every `step`-th pixel, above 0 where it holds.

    A straight edge that is blurred by a Gaussian is its error function: inverted, that gives the
    distance with a fraction of a pixel. It is clipped some standard deviations away.

    Args:
        mask: (H, W) bool.
        cell: metres of a pixel.
        multiple: the nodes cover the mask, continued, up to a multiple of so many pixels.
        reach: metres up to which the distance is wanted; corners are rounded by a part of it.

    Returns:
        (R, C) float64, R and C such that (R - 1) * step is that multiple.
    """
    height, width = mask.shape
    below, right = (-(size - 1) % multiple for size in (height, width))
    softness, thin = max(_SOFTNESS, reach / cell / _SIGHT), 1
    image = mask.view(np.uint8) * np.uint8(255)
    if softness >= 2 * _SOFTNESS and step % 2 == 0:
        image, thin = image[::2, ::2], 2  # so soft that every second pixel says it
    soft = cv2.GaussianBlur(image, (0, 0), softness / thin)
    share = soft[:: step // thin, :: step // thin].astype(np.intp)
    rows, columns = (height + below - 1) // step + 1, (width + right - 1) // step + 1
    share = np.pad(share, ((0, rows - share.shape[0]), (0, columns - share.shape[1])), mode='edge')
    inverse = [NormalDist().inv_cdf((value + 0.5) / 256) for value in range(256)]
    return (softness * cell * np.array(inverse))[share]
