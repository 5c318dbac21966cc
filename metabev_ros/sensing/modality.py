"""Which branch runs: a pure function of what is present."""

from __future__ import annotations

from collections.abc import Mapping

from metabev_ros.structures import Modality, SensorKind


def choose_modality(
    present: Mapping[str, bool], kinds: Mapping[str, SensorKind], min_cameras: int
) -> Modality:
    """The branch that the present sensors allow.

    Hysteresis is not here but in the sensors' states: a sensor that came back is present only
    after its re-admission.

    Args:
        present: sensor name -> whether its data can be used.
        kinds: sensor name -> kind.
        min_cameras: fewer present cameras than this make no camera branch.
    """
    names = [name for name, there in present.items() if there]
    cameras = sum(kinds[name] is SensorKind.CAMERA for name in names)
    lidar = any(kinds[name] is SensorKind.LIDAR for name in names)
    return Modality.from_presence(cameras >= min_cameras, lidar)
