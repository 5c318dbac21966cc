"""A synthetic frame as the `Sample` that the synchroniser would have handed to the pipeline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.sweeps import frames_before, merged_sweep
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.structures import (
    CameraCalibration,
    CameraImage,
    Modality,
    Sample,
    SensorKind,
    SensorReport,
    SensorState,
)

PrepareImage = Callable[[np.ndarray, CameraCalibration], tuple[np.ndarray, CameraCalibration]]
LIDAR_NAME = 'LIDAR_TOP'


@dataclass(frozen=True)
class LabelledSample:
    """A sample, its truth, and where it came from.

    Attributes:
        earlier: gives the sample some milliseconds before this one; None where there is none.
        lidar_from_points: (4, 4) from the frame of the points to that of the LiDAR, x right and
            y forward; None where the points are in it.
    """

    sample: Sample
    truth: GroundTruth
    source: str = ''
    earlier: Callable[[int], Sample] | None = None
    lidar_from_points: np.ndarray | None = None


def sample_from_frame(
    frame: DriveFrame,
    prepare_image: PrepareImage | None = None,
    rig: RigConfig | None = None,
    rate_hz: float = 10.0,
) -> Sample:
    """All sensors present, in time and healthy; see `sample_from_frames`."""
    return sample_from_frames([frame], prepare_image, rig, rate_hz)


def sample_from_frames(
    frames: Sequence[DriveFrame],
    prepare_image: PrepareImage | None = None,
    rig: RigConfig | None = None,
    rate_hz: float = 10.0,
    sweeps: int = 1,
) -> Sample:
    """All sensors present, in time and healthy, at the last of some frames.

    Args:
        frames: oldest first; those before the last give their sweeps.
        prepare_image: (pixels, calibration) -> the same at the network's input size; None keeps
            the frame's images.
        rig: gives sensor names and order; None takes the frame's own.
        rate_hz: that the reports bear.
        sweeps: of the model.

    Raises:
        ConfigError: if the rig has a camera that the frame lacks.
    """
    frame = frames[-1]
    names = tuple(frame.images) if rig is None else tuple(c.name for c in rig.cameras)
    missing = [name for name in names if name not in frame.images]
    if missing:
        raise ConfigError(
            'sample_from_frame.rig', f'cameras among {list(frame.images)}', str(missing)
        )
    cameras = {}
    for name in names:
        pixels, calibration = frame.images[name], frame.calibrations[name]
        if prepare_image is not None:
            pixels, calibration = prepare_image(pixels, calibration)
        cameras[name] = CameraImage(frame.stamp_ns, pixels, calibration)
    lidars = (LIDAR_NAME,) if rig is None else tuple(lidar.name for lidar in rig.lidars)
    kinds = {
        **dict.fromkeys(names, SensorKind.CAMERA),
        **dict.fromkeys(lidars, SensorKind.LIDAR),
    }
    sweep = merged_sweep(frames, sweeps)
    reports = tuple(_healthy(name, kind, frame.stamp_ns, rate_hz) for name, kind in kinds.items())
    return Sample(frame.stamp_ns, cameras, sweep, Modality.FUSED, reports)


def _healthy(name: str, kind: SensorKind, stamp_ns: int, rate_hz: float) -> SensorReport:
    """Report of a sensor whose data is in the sample."""
    return SensorReport(
        name,
        kind,
        SensorState.OK,
        used=True,
        stamp_ns=stamp_ns,
        age_ns=0,
        rate_hz=rate_hz,
        received=1,
    )


def without_sensors(sample: Sample, names: Sequence[str]) -> Sample:
    """The sample as it is when these sensors give nothing; modality and reports follow.

    Raises:
        ConfigError: for a name that the sample does not know.
    """
    known = [report.name for report in sample.sensors]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigError('without_sensors.names', f'names among {known}', str(unknown))
    cameras = {name: None if name in names else image for name, image in sample.cameras.items()}
    lost_lidar = any(r.kind is SensorKind.LIDAR and r.name in names for r in sample.sensors)
    sweep = None if lost_lidar else sample.sweep
    reports = tuple(
        dataclasses.replace(
            report,
            state=SensorState.MISSING,
            used=False,
            stamp_ns=None,
            age_ns=None,
            rate_hz=0.0,
            reason='removed',
        )
        if report.name in names
        else report
        for report in sample.sensors
    )
    modality = Modality.from_presence(
        any(image is not None for image in cameras.values()), sweep is not None
    )
    return dataclasses.replace(
        sample, cameras=cameras, sweep=sweep, modality=modality, sensors=reports
    )


def restrict_to(sample: Sample, modality: Modality) -> Sample:
    """The sample with the sensors of `modality` only."""
    names = [
        report.name
        for report in sample.sensors
        if not (modality.has_camera if report.kind is SensorKind.CAMERA else modality.has_lidar)
    ]
    return without_sensors(sample, names)


@dataclass(frozen=True)
class SyntheticSamples:
    """Labelled samples of several drives: for every seed, `per_drive` frames `stride` apart.

    Attributes:
        seeds: one drive each; keep training and held-out seeds apart.
        per_drive: samples of each drive.
        config: of the drives; must be long enough for all samples.
        stride: frames from one sample to the next. A drive at 20 Hz with stride 20 gives samples
            a second apart that know what was 50 ms, 100 ms ... before them.
        first: frame of the first sample, so that it too has earlier frames.
        sweeps: of the model.
    """

    seeds: tuple[int, ...]
    per_drive: int
    config: DriveConfig
    prepare_image: PrepareImage | None = None
    rig: RigConfig | None = None
    stride: int = 1
    first: int = 0
    sweeps: int = 1

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds):
            raise ConfigError('SyntheticSamples.seeds', 'distinct seeds', str(self.seeds))
        if self.stride < 1 or self.first < 0:
            raise ConfigError(
                'SyntheticSamples', 'stride >= 1 and first >= 0', f'{self.stride}, {self.first}'
            )
        most = (self.config.frames - 1 - self.first) // self.stride + 1
        if not 1 <= self.per_drive <= most:
            raise ConfigError(
                'SyntheticSamples.per_drive',
                f'1..{most}',
                str(self.per_drive),
                'raise DriveConfig.frames',
            )

    def __len__(self) -> int:
        return len(self.seeds) * self.per_drive

    def __iter__(self) -> Iterator[LabelledSample]:
        return (labelled for seed in self.seeds for labelled in self.drive(seed))

    def drive(self, seed: int) -> Iterator[LabelledSample]:
        """The samples of one drive."""
        drive = SyntheticDrive(seed, self.config)
        for i in range(self.per_drive):
            index = self.first + i * self.stride
            frames = frames_before(drive, index, self.sweeps)
            yield LabelledSample(
                sample_from_frames(
                    frames, self.prepare_image, self.rig, self.config.rate_hz, self.sweeps
                ),
                frames[-1].ground_truth,
                f'seed {seed} frame {index}',
                EarlierFrames(drive, index, self.prepare_image, self.rig, self.sweeps),
            )


class EarlierFrames:
    """Sensor data of a drive some milliseconds before a frame; rendered when asked for."""

    def __init__(
        self,
        drive: SyntheticDrive,
        index: int,
        prepare_image: PrepareImage | None = None,
        rig: RigConfig | None = None,
        sweeps: int = 1,
    ) -> None:
        self._drive, self._index, self._sweeps = drive, index, sweeps
        self._prepare_image, self._rig = prepare_image, rig
        self._samples: dict[int, Sample] = {}

    def __call__(self, milliseconds: int) -> Sample:
        """The sample of that instant.

        Raises:
            ConfigError: if it lies between two frames or before the first one.
        """
        back = milliseconds * self._drive.config.rate_hz / 1000
        if back != int(back) or not 0 <= back <= self._index:
            period = 1000 / self._drive.config.rate_hz
            raise ConfigError(
                'EarlierFrames',
                f'a multiple of {period:g} ms, at most {self._index} frames back',
                f'{milliseconds} ms',
                'raise DriveConfig.rate_hz or SyntheticSamples.first',
            )
        if milliseconds not in self._samples:
            self._samples[milliseconds] = sample_from_frames(
                frames_before(self._drive, self._index - int(back), self._sweeps),
                self._prepare_image,
                self._rig,
                self._drive.config.rate_hz,
                self._sweeps,
            )
        return self._samples[milliseconds]
