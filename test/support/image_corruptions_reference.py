"""Some pixels of pictures spoilt by imagecorruptions 1.1.2 (Apache-2.0), as JSON.

    python test/support/image_corruptions_reference.py > test/support/image_corruptions_golden.json

runs with `pip install imagecorruptions setuptools` in an environment of its own. Two calls that
newer versions of its dependencies no longer take are mended here.
"""

from __future__ import annotations

import json

import cv2
import numpy as np

SHAPE, PLACES = (128, 352), 30
NAMES = {  # ours -> its; frost is left out: its textures are photographs
    'motion_blur': 'motion_blur',
    'defocus_blur': 'defocus_blur',
    'glass_blur': 'glass_blur',
    'gaussian_noise': 'gaussian_noise',
    'brightness': 'brightness',
    'contrast': 'contrast',
    'saturation': 'saturate',
    'jpeg': 'jpeg_compression',
    'snow': 'snow',
    'spatter': 'spatter',
    'fog': 'fog',
}


def picture() -> np.ndarray:
    """(128, 352, 3) uint8: smooth colours and a little noise."""
    rng = np.random.default_rng(7)
    colours = rng.integers(30, 226, (6, 8, 3)).astype(np.uint8)
    smooth = cv2.resize(colours, SHAPE[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)


def main() -> None:
    np.float_ = np.float64
    import skimage.filters
    from imagecorruptions import corrupt, corruptions

    blur = skimage.filters.gaussian
    corruptions.gaussian = lambda x, sigma, multichannel=False: blur(
        x, sigma=sigma, channel_axis=-1 if multichannel else None
    )
    found = {}
    for ours, its in NAMES.items():
        for severity in range(1, 6):
            np.random.seed(severity)
            spoilt = corrupt(picture(), severity=severity, corruption_name=its)
            changed = np.flatnonzero((spoilt != picture()).any(-1))
            at = np.random.default_rng(8).choice(changed, PLACES)
            values = spoilt.reshape(-1, 3)[at].ravel().tolist()
            found[f'{ours}.{severity}'] = {'at': at.tolist(), 'values': values}
    print(json.dumps(found))


if __name__ == '__main__':
    main()
