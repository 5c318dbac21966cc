"""`python -m metabev_ros.demo`: the demonstration without the command line of the package."""
from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from metabev_ros.demo.run import HELD_OUT_SEED, DemoConfig, run_demo
from metabev_ros.errors import MetaBevError


def main() -> int:
    """0: all targets met; 1: one was missed; 2: it could not run."""
    parser = argparse.ArgumentParser(prog='metabev_ros.demo', description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('out/demo'))
    parser.add_argument('--seed', type=int, default=HELD_OUT_SEED)
    parser.add_argument('--model', type=Path)
    parser.add_argument('--rig', type=Path)
    parser.add_argument('--record', type=Path, help='merge the figures into this JSON file')
    given = parser.parse_args()
    console = Console()
    try:
        met = run_demo(DemoConfig(out=given.out, seed=given.seed, model_dir=given.model,
                                  rig_path=given.rig, record=given.record), console)
    except MetaBevError as error:
        console.print(f'{type(error).__name__}: {error}', style='red', markup=False)
        return 2
    return 0 if met else 1


if __name__ == '__main__':
    raise SystemExit(main())
