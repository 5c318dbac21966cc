"""The moving picture of the README: a replay of a drive in which sensors die and come back."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from metabev_ros.lab.simulation.worlds import World

PLAN = """name: first_the_lidar
title: the LiDAR dies and comes back, then all cameras
faults:
  - {name: dead, title: no sweeps, type: 'off', sensors: [lidar], begin: 1.5, end: 3.0}
  - {name: blind, title: no images, type: 'off', sensors: [cameras], begin: 4.0, end: 5.0}
"""
SECONDS = 6
STEP = 4  # of 20 frames a second every fourth is shown
WIDTH = 800  # pixels
QUALITY = 55  # of WebP


def draw_sensor_dies(seed: int, out: Path) -> None:
    """Make a drive, let sensors die, replay it with a video, and shrink that."""
    with tempfile.TemporaryDirectory() as folder:

        def metabev(*words: str) -> None:
            command = [sys.executable, '-m', 'metabev_ros.cli', *words]
            subprocess.run(command, cwd=folder, check=True)

        Path(folder, 'plan.yaml').write_text(PLAN, encoding='utf-8')
        model, world = World.BOXES.model, ('--world', World.BOXES.value, '--seed', str(seed))
        metabev('simulate', 'drive.mcap', '--seconds', str(SECONDS), *world)
        plan = ('--schedule', 'plan.yaml', '--enable-fault-injection')
        metabev('inject', 'drive.mcap', 'bad.mcap', *plan)
        metabev('replay', 'bad.mcap', '-o', 'seen.mcap', '--video', 'seen.mp4', '--model', model)
        write_webp(Path(folder, 'seen.mp4'), out)


def write_webp(video: Path, out: Path) -> None:
    """Some frames of a video as one moving picture that begins anew for ever."""
    frames = imageio_ffmpeg.read_frames(str(video))
    about = next(frames)
    width, height = about['size']
    pictures = [
        Image.fromarray(np.frombuffer(frame, np.uint8).reshape(height, width, 3)).resize(
            (WIDTH, WIDTH * height // width), Image.Resampling.LANCZOS
        )
        for number, frame in enumerate(frames)
        if number % STEP == 0
    ]
    pause = round(1000 * STEP / about['fps'])
    pictures[0].save(
        out, save_all=True, append_images=pictures[1:], duration=pause, loop=0, quality=QUALITY
    )
