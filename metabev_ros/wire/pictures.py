"""A picture as sensor_msgs/Image and as the JPEG that image_transport's `compressed` names."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from metabev_ros.errors import BackendError
from metabev_ros.wire.cdr import header, message_class

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
JPEG_QUALITY = 85


def image(picture: np.ndarray, stamp_ns: int, frame: str) -> Any:
    """Image of (H, W, 3) uint8 RGB."""
    height, width = picture.shape[:2]
    return message_class(IMAGE)(
        header=header(stamp_ns, frame),
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(picture).reshape(-1),
    )


def compressed_image(picture: np.ndarray, stamp_ns: int, frame: str) -> Any:
    """CompressedImage of (H, W, 3) uint8 RGB, with the `format` that image_transport writes.

    Raises:
        BackendError: there is no encoder.
    """
    made, data = cv2.imencode('.jpg', picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    if not made:
        raise BackendError('overlay picture', 'a JPEG', 'none', 'OpenCV lacks the encoder')
    return message_class(COMPRESSED_IMAGE)(
        header=header(stamp_ns, frame),
        format='rgb8; jpeg compressed bgr8',
        data=data.reshape(-1),
    )
