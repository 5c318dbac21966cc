"""Tables in Feather files (Arrow IPC) as arrays: bounded, checked, nothing is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metabev_ros.errors import ConfigError, MissingDependencyError, clean_text

MAX_FEATHER_BYTES = 64 << 20
MAX_ROWS = 1_500_000
REMEDY = 'load the file anew'


def read_feather(path: Path, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Some columns of a table.

    Args:
        columns: name -> NumPy dtype to be converted to; 'str' for text.

    Returns:
        (R,) array of each column.

    Raises:
        MissingDependencyError: without pyarrow.
        ConfigError: for a file that is missing, too large, damaged, or lacks a column.
    """
    arrow = _pyarrow()
    try:
        size = path.stat().st_size
        if size > MAX_FEATHER_BYTES:
            raise ConfigError(str(path), f'at most {MAX_FEATHER_BYTES} bytes', str(size), REMEDY)
        reader: Any = arrow.ipc.open_file(arrow.BufferReader(path.read_bytes()))
        batches, rows = [], 0
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            rows += batch.num_rows
            if rows > MAX_ROWS:
                raise ConfigError(str(path), f'at most {MAX_ROWS} rows', 'more', REMEDY)
            batch.validate(full=True)
            batches.append(batch)
        table: Any = arrow.Table.from_batches(batches, reader.schema)
    except FileNotFoundError as error:
        raise ConfigError(
            str(path), 'a file of the data set', 'no such file', 'load the whole drive'
        ) from error
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise ConfigError(str(path), 'a Feather file', clean_text(error), REMEDY) from error
    missing = sorted(set(columns) - set(table.column_names))
    if missing:
        found = [clean_text(name) for name in table.column_names[:12]]
        raise ConfigError(str(path), f'columns {missing}', f'columns {found}', REMEDY)
    return {name: _column(path, table, name, kind) for name, kind in columns.items()}


def _column(path: Path, table: Any, name: str, kind: str) -> np.ndarray:
    column = table.column(name)
    if column.null_count:
        raise ConfigError(f'{path}: {name}', 'a value in every row', 'rows without', REMEDY)
    try:
        if kind == 'str':
            return np.array([str(value) for value in column.to_pylist()], dtype=object)
        values = np.asarray(column.to_numpy()).astype(kind)
    except (ValueError, TypeError) as error:
        raise ConfigError(f'{path}: {name}', kind, clean_text(error), REMEDY) from error
    if not np.isfinite(values).all():
        raise ConfigError(f'{path}: {name}', 'finite numbers', 'others', REMEDY)
    return values


def _pyarrow() -> Any:
    try:
        return importlib.import_module('pyarrow')
    except ImportError as error:
        raise MissingDependencyError(
            'Feather files', 'the package pyarrow', 'none', 'pip install pyarrow'
        ) from error
