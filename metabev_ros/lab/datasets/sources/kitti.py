"""KITTI's 3D object and tracking benchmarks as records (Geiger, Lenz, Urtasun: CVPR 2012).

    PATH/training/velodyne/000134.bin         PATH/training/velodyne/0003/000012.bin
    PATH/training/image_2/000134.png          PATH/training/image_02/0003/000012.png
    PATH/training/calib/000134.txt            PATH/training/calib/0003.txt
    PATH/training/label_2/000134.txt          PATH/training/label_02/0003.txt
    PATH/ImageSets/val.txt (as many have it)  PATH/training/oxts/0003.txt (where it was loaded)

Only what the front camera sees is labelled; `GroundTruth.objects_known` says where that is. Points
carry no time, and the files do not say whether the vehicle's motion was taken out of a sweep.
The benchmarks publish no stamps: they are made of the frames' numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.lab.datasets.sample_record import SampleRecord
from metabev_ros.lab.datasets.sources.classes import ClassMap
from metabev_ros.lab.datasets.sources.frame import (
    RecordMaker,
    SourceFrame,
    SourceImage,
    SourceInfo,
    SourceSweep,
)
from metabev_ros.lab.datasets.sources.kitti_calibration import (
    EGO_FROM_LIDAR,
    OWN_VEHICLE,
    read_calibration,
)
from metabev_ros.lab.datasets.sources.kitti_files import (
    read_image,
    read_labels,
    read_lines,
    read_points,
)
from metabev_ros.lab.datasets.sources.kitti_sequence import KittiSequence
from metabev_ros.lab.datasets.sources.kitti_truth import (
    CAMERA,
    KITTI_CLASSES,
    KittiView,
    kitti_info,
    made_record,
    motion_between,
    stamp_of,
    truth_of,
)

_TOGETHER = 100  # frames of one number without its last two digits
_NAME = re.compile(r'[A-Za-z0-9_-]{1,40}')
_NO_LABELS = "KITTI's testing frames have no labels"


def _scene_of(token: str) -> str:
    """The hundred that a frame belongs to."""
    return f'object_{int(token) // _TOGETHER:02d}'


@dataclass(frozen=True)
class KittiObject:
    """The 3D object benchmark.

    Attributes:
        path: folder with `training`.
        split: 'training' for every labelled frame, or the name of a list in `PATH/ImageSets`.
        classes: changes of KITTI_CLASSES.
    """

    path: Path
    split: str = 'training'
    classes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def info(self) -> SourceInfo:
        """Name, licence, classes and notes."""
        return kitti_info(f'KITTI object {self.split}', self._class_map, ())

    @property
    def _class_map(self) -> ClassMap:
        return ClassMap(KITTI_CLASSES).with_changes(self.classes)

    def scenes(self) -> dict[str, int]:
        """Hundreds of frames: they were drawn from many drives, and do not follow each other.

        Raises:
            ConfigError: for a folder that is not laid out as the data set is.
        """
        return dict(Counter(map(_scene_of, self.tokens())))

    def tokens(self) -> list[str]:
        """Names of the frames, six digits, in order.

        Raises:
            ConfigError: for a folder that is not laid out as the data set is.
        """
        labels = _require_folder(Path(self.path), 'label_2')
        if self.split == 'training':
            found = sorted(path.stem for path in labels.glob('*.txt'))
        else:
            if not _NAME.fullmatch(self.split) or self.split == 'testing':
                raise ConfigError(
                    'split', 'training, or a list of ImageSets', clean_text(self.split), _NO_LABELS
                )
            listed = read_lines(Path(self.path) / 'ImageSets' / f'{self.split}.txt')
            found = sorted(word for words in listed for word in words)
        wrong = [token for token in found if not re.fullmatch(r'\d{6}', token)]
        if wrong or not found:
            raise ConfigError(
                str(labels),
                'frames named by six digits',
                clean_text(wrong[0]) if wrong else 'none',
                'give the folder that holds training/label_2',
            )
        return found

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a hundred frames, but of those that are done.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        for token in self.tokens():
            if _scene_of(token) == scene and token not in done:
                yield made_record(maker, self.frame(token))

    def frame(self, token: str) -> SourceFrame:
        """One frame.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        view, image = self._view(token)
        stamp_ns = stamp_of(int(token))
        points = read_points(self._file('velodyne', token, 'bin'))
        where = str(self._file('label_2', token, 'txt'))
        return SourceFrame(
            token,
            _scene_of(token),
            stamp_ns,
            (SourceImage(CAMERA, stamp_ns, image, view.calibration.camera(view.size)),),
            (SourceSweep(stamp_ns, points, None, EGO_FROM_LIDAR),),
            motion_between({}),
            np.full((4, 4), np.nan),
            truth_of(where, view, points, self._class_map, view.labels.truncation),
            OWN_VEHICLE,
        )

    def view(self, token: str) -> KittiView:
        """Labels, calibration and picture's size of a frame, for KITTI's own metric.

        Raises:
            ConfigError: for files that are missing or damaged.
        """
        return self._view(token)[0]

    def _view(self, token: str) -> tuple[KittiView, bytes]:
        image, size = read_image(self._file('image_2', token, 'png'))
        labels = read_labels(self._file('label_2', token, 'txt'))
        return KittiView(labels, read_calibration(self._file('calib', token, 'txt')), size), image

    def _file(self, kind: str, token: str, ending: str) -> Path:
        return Path(self.path) / 'training' / kind / f'{token}.{ending}'


@dataclass(frozen=True)
class KittiTracking:
    """The tracking benchmark: 21 labelled drives at 10 Hz.

    Attributes:
        path: folder with `training`.
        split: 'training'; the other one has no labels.
        classes: changes of KITTI_CLASSES.
    """

    path: Path
    split: str = 'training'
    classes: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def info(self) -> SourceInfo:
        """Name, licence, classes and notes."""
        absent = 'Sequence 0001 lacks the sweeps 177 to 180: no records are made of them.'
        return kitti_info(f'KITTI tracking {self.split}', self._class_map, (absent,))

    @property
    def _class_map(self) -> ClassMap:
        return ClassMap(KITTI_CLASSES).with_changes(self.classes)

    def scenes(self) -> dict[str, int]:
        """Sequence -> its frames.

        Raises:
            ConfigError: for a folder that is not laid out as the data set is.
        """
        if self.split != 'training':
            raise ConfigError('split', 'training', clean_text(self.split), _NO_LABELS)
        labels = _require_folder(Path(self.path), 'label_02')
        names = sorted(path.stem for path in labels.glob('*.txt'))
        wrong = [name for name in names if not re.fullmatch(r'\d{4}', name)]
        if wrong or not names:
            got = clean_text(wrong[0]) if wrong else 'none'
            raise ConfigError(str(labels), 'sequences named by four digits', got)
        return {name: len(self._sequence(name).frames) for name in names}

    def records(
        self, scene: str, maker: RecordMaker, done: frozenset[str]
    ) -> Iterator[SampleRecord]:
        """Records of a sequence in order, but for the tokens that are done.

        Raises:
            ConfigError: for files that are missing, damaged or contradict each other.
        """
        sequence = self._sequence(scene)
        for frame in sequence.frames:
            if sequence.token(frame) not in done:
                yield made_record(maker, sequence.frame(frame, maker.model.lidar.sweeps))

    def view(self, token: str) -> KittiView:
        """Labels, calibration and picture's size of a frame like '0003_000012'.

        Raises:
            ConfigError: for files that are missing or damaged.
        """
        match = re.fullmatch(r'(\d{4})_(\d{6})', token)
        if not match:
            raise ConfigError('token', 'one like 0003_000012', clean_text(token))
        return self._sequence(match[1]).view(int(match[2]))[0]

    def _sequence(self, name: str) -> KittiSequence:
        if not re.fullmatch(r'\d{4}', name):
            raise ConfigError('scene', 'four digits', clean_text(name))
        return KittiSequence(Path(self.path) / 'training', name, self._class_map)


def _require_folder(path: Path, kind: str) -> Path:
    folder = path / 'training' / kind
    if folder.is_dir():
        return folder
    got = 'no such folder'
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir())[:8]
        got = f'a folder with {names}' if names else 'an empty folder'
    raise ConfigError(
        str(path), f'a folder with training/{kind}', got, 'give the folder that holds training'
    )
