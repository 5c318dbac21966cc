"""A test set as an evaluation sees it: drives, their samples, and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from metabev_ros.lab.datasets.samples import LabelledSample
from metabev_ros.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Drive:
    """One drive: the unit of jobs, of partial results and of the bootstrap.

    Attributes:
        name: a plain file name.
        first_sample_seed: sample i draws its failures from this + i.
        identity: plain data that changes when the drive's samples do; partial results bear it.
    """

    name: str
    first_sample_seed: int
    identity: Mapping[str, Any]


class LabelledDrives(Protocol):
    """A test set; it can be pickled."""

    @property
    def words(self) -> str:
        """The test set in words; results compare only where these are the same."""
        ...

    @property
    def all_drives(self) -> tuple[Drive, ...]:
        """The drives, in order."""
        ...

    def samples(self, drive: Drive, pipeline: Pipeline) -> Iterable[LabelledSample]:
        """The samples of one drive as a pipeline takes them.

        Raises:
            ConfigError: where they do not fit the pipeline's model.
        """
        ...
