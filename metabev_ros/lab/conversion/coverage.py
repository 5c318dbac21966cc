"""Table of the keys that a conversion took, left out and did not find."""

from __future__ import annotations

from rich.table import Table

from metabev_ros.lab.conversion.convert import Conversion


def coverage_table(result: Conversion) -> Table:
    """One row per part and per reason; keys are those of the checkpoint."""
    table = Table(
        title=f'{len(result.tensors)} tensors, '
        f'{sum(t.numel() for t in result.tensors.values()) / 1e6:.1f} M values'
    )
    table.add_column('part')
    table.add_column('keys', justify='right')
    table.add_column('what became of them')
    for name, keys in result.filled.items():
        table.add_row(name, str(len(keys)), 'converted, complete')
    for name, keys in result.skipped.items():
        table.add_row(name, str(len(keys)), 'skipped as asked')
    for name in result.absent:
        table.add_row(name, '0', 'not in the checkpoint: stays as initialised')
    for reason, keys in result.ignored.items():
        table.add_row('left out', str(len(keys)), reason)
    return table
