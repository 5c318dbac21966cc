"""Mean sizes of the ten nuScenes classes."""

from __future__ import annotations

# length, width, height in metres (the anchors of CBGS, arXiv 1908.09492).
MEAN_SIZES = {
    'car': (4.63, 1.97, 1.74),
    'truck': (6.93, 2.51, 2.84),
    'construction_vehicle': (6.37, 2.85, 3.19),
    'bus': (10.5, 2.94, 3.47),
    'trailer': (12.29, 2.90, 3.87),
    'barrier': (0.50, 2.53, 0.98),
    'motorcycle': (2.11, 0.77, 1.47),
    'bicycle': (1.70, 0.60, 1.28),
    'pedestrian': (0.73, 0.67, 1.77),
    'traffic_cone': (0.41, 0.41, 1.07),
}
