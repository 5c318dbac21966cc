"""What nuscenes-devkit says of an invented folder: now, or when the stored answers were made.

The devkit pins numpy < 2 and lives in an environment of its own, named by METABEV_DEVKIT_PYTHON
(`make test-devkit`). Run with it to renew the stored answers:

    METABEV_DEVKIT_PYTHON=... PYTHONPATH=.:test python test/support/nuscenes_oracle.py
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np

from support.nuscenes_folder import LOCATION, VERSION, write_folder
from support.nuscenes_keyframes import Plan, invented_keyframe
from support.nuscenes_maps import invented_map

DEVKIT = os.environ.get('METABEV_DEVKIT_PYTHON')
GOLDEN = Path(__file__).with_name('nuscenes_golden.json')
SCENES = ('scene-0103', 'scene-0916')  # of mini_val
SHAPE = (6, 200, 200)


def oracle_folder(folder: Path, seed: int, objects: int = 40, scenes=SCENES) -> Path:
    """Drives of three key frames with four sweeps before each, and a map."""
    frame = invented_keyframe(seed, objects)
    write_folder(folder, frame, Plan(keyframes=3, sweeps=4, scenes=scenes))
    invented_map(seed, frame.world_from_ego[:2, 3]).write(folder, LOCATION)
    return folder


def ask(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Answers of the devkit, and its map masks by sample."""
    script = Path(__file__).with_name('nuscenes_devkit_answers.py')
    answers = folder / 'answers'
    command = [str(DEVKIT), str(script), str(folder), VERSION, str(answers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-3000:]
    with np.load(f'{answers}.npz') as masks:
        return json.loads(Path(f'{answers}.json').read_text()), dict(masks)


def packed(mask: np.ndarray) -> str:
    """A map mask as text."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode()


def unpacked(text: str) -> np.ndarray:
    """The map mask of a text."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=int(np.prod(SHAPE))).reshape(SHAPE).astype(bool)


def digest(names: list[str]) -> str:
    """SHA-256 of names of scenes, sorted."""
    return hashlib.sha256('\n'.join(sorted(names)).encode()).hexdigest()


def stored_folder(folder: Path) -> Path:
    """The folder that the stored answers are about."""
    return oracle_folder(folder, seed=3, objects=16, scenes=SCENES[:1])


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as made:
        said, drawn = ask(stored_folder(Path(made)))
    said['splits'] = {name: digest(scenes) for name, scenes in said['splits'].items()}
    said['masks'] = {token: packed(mask) for token, mask in drawn.items()}
    GOLDEN.write_text(json.dumps(said).replace('}, {', '},\n{') + '\n', encoding='utf-8')
