"""The rig of real nuScenes bags; Foxglove's nuscenes2mcap gave their topics other names."""

from __future__ import annotations

import dataclasses

from metabev_ros.config import RigConfig, load_config
from metabev_ros.resources import DEFAULT_RIG, resource_path


def keyframe_rig() -> RigConfig:
    """The shipped nuScenes-like rig with the camera topics of these bags."""
    shipped = load_config(RigConfig, resource_path(DEFAULT_RIG))
    cameras = tuple(
        dataclasses.replace(camera, topic=f'{camera.name}/image_rect_compressed')
        for camera in shipped.cameras
    )
    return dataclasses.replace(shipped, cameras=cameras)
