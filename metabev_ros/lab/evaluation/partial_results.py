"""Finished drives of an evaluation on disk."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from metabev_ros.files import replacing
from metabev_ros.lab.evaluation.labelled_drives import Drive
from metabev_ros.structures import ModelInfo

FORMAT = 1  # raise it when metrics or corruptions change: old partial results are unused


class PartialResults:
    """Finished drives on disk: a run that was killed goes on after the last one.

    A file belongs to one model (by the hash of its weights) and drive (by its identity), and holds
    any settings; nothing in it is code.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, info: ModelInfo, drive: Drive) -> Path:
        plain = {
            **drive.identity,
            'format': FORMAT,
            'model': info.hash,
            'backend': info.backend,
        }
        key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / key / f'{drive.name}.npz'

    def finished(self, info: ModelInfo, drive: Drive) -> set[str]:
        """Ids of the settings that a drive's file holds."""
        try:
            with np.load(self._path(info, drive), allow_pickle=False) as file:
                return {name.partition('/')[0] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return set()

    def read(
        self, info: ModelInfo, drive: Drive, settings: Collection[str] | None = None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Setting id -> arrays; empty when nothing is there or the file is damaged.

        Args:
            settings: that are wanted; None: all.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        try:
            with np.load(self._path(info, drive), allow_pickle=False) as file:
                for name in file.files:
                    setting, _, array = name.partition('/')
                    if settings is not None and setting not in settings:
                        continue
                    found.setdefault(setting, {})[array] = file[name]
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return {}
        return found

    def write(self, info: ModelInfo, drive: Drive, new: dict[str, dict[str, np.ndarray]]) -> None:
        """Add settings to a drive's file; atomic."""
        path = self._path(info, drive)
        path.parent.mkdir(parents=True, exist_ok=True)
        merged = {**self.read(info, drive), **new}
        with replacing(path) as part, open(part, 'wb') as file:
            np.savez_compressed(
                file,
                # No array is named `allow_pickle`: every name holds a slash.
                **{  # pyright: ignore[reportArgumentType]
                    f'{setting}/{name}': array
                    for setting, arrays in merged.items()
                    for name, array in arrays.items()
                },
            )
