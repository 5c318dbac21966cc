"""Names of classes of a data set -> ours, all of them said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabev_ros.errors import ConfigError, clean_text
from metabev_ros.lab.datasets.ground_truth import ANY_LABEL
from metabev_ros.structures import DETECTION_CLASSES

IGNORE = 'ignore'  # its boxes are neither asked for nor counted as wrong
BACKGROUND = 'background'  # its boxes are dropped: to find something there is wrong


@dataclass(frozen=True)
class ClassMap:
    """Target of each class of a data set.

    Attributes:
        names: the data set's name -> one of DETECTION_CLASSES, IGNORE or BACKGROUND.

    Raises:
        ConfigError: for a target that is none of these.
    """

    names: Mapping[str, str]

    def __post_init__(self) -> None:
        allowed = (*DETECTION_CLASSES, IGNORE, BACKGROUND)
        for name, target in self.names.items():
            if target not in allowed:
                raise ConfigError(f'classes.{name}', f'one of {list(allowed)}', repr(target))

    def with_changes(self, changes: Mapping[str, str]) -> ClassMap:
        """The same with some classes mapped otherwise, or new ones."""
        return ClassMap({**self.names, **changes})

    def target(self, name: str) -> str:
        """One of DETECTION_CLASSES, IGNORE or BACKGROUND.

        Raises:
            ConfigError: for a class that the map does not name.
        """
        if name not in self.names:
            shown = clean_text(name)
            raise ConfigError(
                'classes',
                f'classes among {sorted(self.names)}',
                repr(shown),
                f"say what it is: --class '{shown}=car', or =ignore, or =background",
            )
        return self.names[name]

    def split(self, boxes: np.ndarray, names: list[str]) -> SplitBoxes:
        """Sort boxes of the data set into truth and what is ignored.

        Args:
            boxes: (M, 9) as in `GroundTruth`.
            names: the data set's class of each.

        Raises:
            ConfigError: for a class that the map does not name.
        """
        targets = [self.target(name) for name in names]
        kept = np.array([i for i, t in enumerate(targets) if t in DETECTION_CLASSES], np.int64)
        ignored = np.array([i for i, t in enumerate(targets) if t == IGNORE], np.int64)
        labels = [DETECTION_CLASSES.index(targets[i]) for i in kept]
        return SplitBoxes(
            kept,
            np.array(labels, np.int64),
            boxes[ignored, :7].astype(np.float32),
            np.full(len(ignored), ANY_LABEL, np.int64),
        )


@dataclass(frozen=True, eq=False)
class SplitBoxes:
    """Boxes of a data set by what becomes of them.

    Attributes:
        kept: (K,) int64 rows that are truth.
        labels: (K,) int64 their labels.
        ignored: (R, 7) float32 the boxes to be ignored.
        ignored_labels: (R,) int64 ANY_LABEL.
    """

    kept: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    ignored_labels: np.ndarray
