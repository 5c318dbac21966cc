"""Detections of one sample after the other become objects that keep their identity.

`tracker` decides, `bank` holds the tracks, `kalman` moves and corrects them, `association` says
which detection is whose, `motion` and `noise` hold the numbers. No ROS, no torch.
"""

from metabev_ros.tracking.tracker import Tracker

__all__ = ['Tracker']
