"""CameraInfo of a camera without distortion, as bytes."""

from __future__ import annotations

import numpy as np

from metabev_ros import wire

INFO_TYPE = 'sensor_msgs/msg/CameraInfo'


def camera_info_bytes(frame: str, stamp_ns: int, k: np.ndarray, width: int, height: int) -> bytes:
    """CDR bytes of a CameraInfo.

    Args:
        frame: frame_id.
        stamp_ns: of the header.
        k: (9,) intrinsics, row by row.
        width: pixels.
        height: pixels.
    """
    region = wire.message_class('sensor_msgs/msg/RegionOfInterest')(
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return wire.serialize(
        wire.message_class(INFO_TYPE)(
            header=wire.header(stamp_ns, frame),
            height=height,
            width=width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=k,
            r=np.eye(3).reshape(-1),
            p=np.insert(k.reshape(3, 3), 3, 0, axis=1).reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=region,
        ),
        INFO_TYPE,
    )
