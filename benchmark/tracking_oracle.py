"""What the nuScenes devkit's tracking evaluation says of tracks; run by the devkit's Python.

    .venv-devkit/bin/python benchmark/tracking_oracle.py TRACKS.json

TRACKS.json: {"scenes": {NAME: [{"us": 0, "truth": [BOX], "tracks": [BOX]}]}}, a BOX as in `_box`.
Prints one line of JSON. The configuration is that of the nuScenes tracking challenge
(`tracking_nips_2019`): seven classes, their ranges, a match within 2 m.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.tracking.data_classes import TrackingBox
from nuscenes.eval.tracking.evaluate import TrackingEval
from nuscenes.eval.tracking.loaders import interpolate_tracks
from pyquaternion import Quaternion

METRICS = ('amota', 'amotp', 'recall', 'mota', 'ids', 'frag', 'gt', 'fp', 'fn')


def main() -> None:
    """Evaluate and print."""
    scenes = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))['scenes']
    config = config_factory('tracking_nips_2019')
    evaluation = TrackingEval.__new__(TrackingEval)  # its constructor wants the data set
    evaluation.cfg, evaluation.verbose = config, False
    evaluation.output_dir, evaluation.render_classes = '.', None
    evaluation.tracks_gt = _tracks(scenes, 'truth', config.class_range)
    evaluation.tracks_pred = _tracks(scenes, 'tracks', config.class_range)
    _average_scores(evaluation.tracks_pred)
    for side in (evaluation.tracks_gt, evaluation.tracks_pred):
        for name in side:
            side[name] = interpolate_tracks(side[name])
    metrics, _ = evaluation.evaluate()
    values = {name: metrics.compute_metric(name, 'all') for name in METRICS}
    print('ANSWER' + json.dumps(values))


def _tracks(scenes: dict, side: str, ranges: dict) -> dict:
    """Scene -> microseconds -> boxes of the classes that are tracked, in their ranges."""
    tracks: dict = {}
    for name, samples in scenes.items():
        tracks[name] = defaultdict(list)
        for sample in samples:
            boxes = [
                _box(box)
                for box in sample[side]
                if box['name'] in ranges and box['reach'] < ranges[box['name']]
            ]
            tracks[name][sample['us']] = boxes
    return tracks


def _box(box: dict) -> TrackingBox:
    """Position in the world, size, heading, velocity, identity, class, score, metres from ego."""
    length, width, height = box['size']
    return TrackingBox(
        sample_token='sample',
        translation=tuple(box['centre']),
        size=(width, length, height),
        rotation=tuple(Quaternion(axis=[0, 0, 1], radians=box['yaw']).elements),
        velocity=tuple(box['velocity']),
        ego_translation=(box['reach'], 0.0, 0.0),
        num_pts=-1,
        tracking_id=str(box['id']),
        tracking_name=box['name'],
        tracking_score=box['score'],
    )


def _average_scores(tracks: dict) -> None:
    """Each box has the mean score of its track, as in the devkit's `create_tracks`."""
    for scene in tracks.values():
        scores = defaultdict(list)
        for boxes in scene.values():
            for box in boxes:
                scores[box.tracking_id].append(box.tracking_score)
        for boxes in scene.values():
            for box in boxes:
                box.tracking_score = float(np.mean(scores[box.tracking_id]))


if __name__ == '__main__':
    main()
