"""Limits of tracking: what begins a track, what it takes to be believed, how long it coasts."""

from __future__ import annotations

from dataclasses import dataclass

from metabev_ros.config.parameter import check_ranges, parameter


@dataclass(frozen=True)
class TrackingConfig:
    """Limits by which a track begins, is believed and ends.

    Two thresholds of the score: ByteTrack (Zhang et al., ECCV 2022), section 3. Three hits:
    AB3DMOT (Weng et al., IROS 2020), section 4.1. Seconds in place of their counted frames,
    since sensors have different rates: CenterPoint (Yin et al., CVPR 2021) keeps an unseen track
    for three frames of half a second.
    """

    enabled: bool = parameter(
        True,
        'follow objects and publish tracks; it takes odometry or the TF of the rig file '
        "(motion_frame) to know the vehicle's motion",
    )
    start_score: float = parameter(
        0.3, 'a detection of at least this score begins a track', within=(0.01, 1)
    )
    least_score: float = parameter(
        0.1, 'a detection of less is passed over; others go on with a track', within=(0.01, 1)
    )
    confirm_hits: int = parameter(3, 'detections after which a track is believed', within=(1, 100))
    coast_lidar: float = parameter(
        1.0,
        'a believed track ends after this time of looking in vain with a LiDAR',
        's',
        (0.001, 10),
    )
    coast_camera: float = parameter(
        2.5, 'the same with cameras alone, which miss more', 's', (0.001, 10)
    )
    coast_blind: float = parameter(
        2.0, 'the same while nothing can be looked at (modality NONE)', 's', (0.001, 10)
    )

    def __post_init__(self) -> None:
        check_ranges(self, 'parameter tracking.')
