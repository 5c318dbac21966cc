"""The still pictures of the report."""

from __future__ import annotations

import numpy as np

from metabev_ros.config import RigConfig
from metabev_ros.drawing import BevView, PanelLayout, draw_bev, draw_map
from metabev_ros.faults.plan import FaultPlan
from metabev_ros.lab.datasets.ground_truth import GroundTruth
from metabev_ros.lab.datasets.samples import restrict_to
from metabev_ros.lab.demo.evidence import Evidence
from metabev_ros.lab.demo.scene import Mounting, Scene, as_instant, draw_scene, scene_at
from metabev_ros.lab.demo.world import Truths
from metabev_ros.lab.report.panel import draw_ground, draw_images, visible_truth
from metabev_ros.pages.ground import HALF_LENGTH, SHOWN_SCORE
from metabev_ros.pages.parts import Picture
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality, Sample

STILL_LAYOUT = PanelLayout(width=1520, height=612, bev_width=560, tile_aspect=704 / 256)
SQUARE = BevView(520, 520, HALF_LENGTH)
LATE_SHARE = 0.7  # of a fault: by then the node has long settled


def stamp_near(evidence: Evidence, rig: RigConfig, seconds: float) -> int:
    """The stamp of the sample nearest to a time of the drive."""
    stamps = np.unique(
        np.concatenate([evidence.published[name][:, 0] for name in rig.sensor_names])
    )
    wanted = evidence.start_ns + round(seconds * 1e9)
    return int(stamps[np.argmin(np.abs(stamps - wanted))])


def output_near(evidence: Evidence, rig: RigConfig, seconds: float) -> int:
    """The stamp of the output nearest to a time, if one is within half a second."""
    wanted = evidence.start_ns + round(seconds * 1e9)
    nearest = min(
        (o.stamp_ns for o in evidence.outputs), key=lambda s: abs(s - wanted), default=None
    )
    if nearest is None or abs(nearest - wanted) > 500_000_000:
        return stamp_near(evidence, rig, seconds)
    return nearest


def moments(plan: FaultPlan) -> list[tuple[str, float, str]]:
    """(name, seconds, caption) of the instants worth a picture."""

    def late(name: str) -> float:
        fault = plan.named(name)
        return fault.begin + LATE_SHARE * (fault.end - fault.begin)

    return [
        ('fused', plan.faults[0].begin - 1.0, 'All sensors live.'),
        ('lidar_only', late('cameras'), 'All cameras dead: the network goes on with the LiDAR.'),
        (
            'camera_only',
            late('lidar'),
            'The LiDAR dead: the cameras take over the trigger; there are no points.',
        ),
        ('two_missing', late('two_cameras'), 'Two cameras dead: the others and the LiDAR go on.'),
        (
            'frozen',
            late('frozen'),
            'One camera sends the same picture under new stamps: it is '
            'outlined, and what it sent is shown.',
        ),
    ]


def made_from(scene: Scene) -> str:
    """The label of a scene's output, in words."""
    if scene.frame is None:
        return 'No output for this instant.'
    cameras = sum(name in scene.shots for name in scene.frame.sensors)
    parts = [f'{cameras} of {len(scene.shots)} cameras'] if cameras else []
    parts += ['the LiDAR'] if len(scene.frame.sensors) > cameras else []
    return f'Labelled {scene.frame.modality.name}: {" and ".join(parts)}.'


def panels(
    evidence: Evidence,
    truths: Truths,
    rig: RigConfig,
    plan: FaultPlan,
    mounting: Mounting,
) -> list[Picture]:
    """One panel per moment."""
    found = []
    for name, seconds, caption in moments(plan):
        stamp = output_near(evidence, rig, seconds)
        scene = scene_at(
            evidence, truths, rig, mounting, stamp, f'{evidence.seconds(stamp):.1f} s'
        )
        found.append(
            Picture(name, f'{caption} {made_from(scene)}', draw_scene(scene, STILL_LAYOUT))
        )
    return found


def boxes_against_truth(scene: Scene) -> list[Picture]:
    """Bird's-eye view of detections over truth, and the front camera with both."""
    instant = as_instant(scene)
    bev = draw_ground(instant, BevView(720, 720, HALF_LENGTH), with_map=False)
    found = [
        Picture(
            'boxes_bev',
            "Bird's-eye view: detections in class colours over the truth "
            '(thin white), LiDAR points in grey. Forward is up.',
            bev,
        )
    ]
    drawn = draw_images(instant, with_text=True)
    shots = [
        shot
        for name in ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT')
        if (shot := drawn.get(name)) is not None
    ]
    if shots:
        found.append(
            Picture(
                'boxes_cameras',
                'The same detections in the cameras that look forward.',
                np.concatenate(shots, axis=0),
            )
        )
    return found


def same_moment(pipeline: Pipeline, sample: Sample, truth: GroundTruth) -> list[Picture]:
    """One instant with all sensors, without LiDAR, without cameras, beside the truth."""
    seen = visible_truth(truth)
    found = [
        Picture(
            'truth',
            'Truth.',
            draw_bev(SQUARE, truth.map_layers.astype(np.float32), truth=seen),
        )
    ]
    for modality, name, caption in (
        (Modality.FUSED, 'all', 'All sensors.'),
        (Modality.LIDAR, 'no_cameras', 'Without cameras.'),
        (Modality.CAMERA, 'no_lidar', 'Without LiDAR.'),
    ):
        result = pipeline(restrict_to(sample, modality))
        shown = result.detections.scores >= SHOWN_SCORE
        found.append(
            Picture(
                f'map_{name}',
                caption,
                draw_bev(
                    SQUARE,
                    result.map_probabilities,
                    boxes=result.detections.boxes[shown],
                    labels=result.detections.labels[shown],
                    scores=result.detections.scores[shown],
                    truth=seen,
                ),
            )
        )
    return found


def live_maps(
    evidence: Evidence, truths: Truths, rig: RigConfig, plan: FaultPlan, mounting: Mounting
) -> list[tuple[Picture, Picture]]:
    """(published map, its truth) while all live, the cameras are dead, the LiDAR is dead."""
    found = []
    for name, seconds, _ in moments(plan)[:3]:
        stamp = output_near(evidence, rig, seconds)
        scene = scene_at(evidence, truths, rig, mounting, stamp, '')
        if scene.frame is None or scene.frame.map_probabilities is None or scene.truth is None:
            continue
        at = f'{evidence.seconds(stamp):.1f} s'
        found.append(
            (
                Picture(
                    f'live_{name}',
                    f'{at}: as published. {made_from(scene)}',
                    draw_map(SQUARE, scene.frame.map_probabilities),
                ),
                Picture(
                    f'live_{name}_truth',
                    f'{at}: truth.',
                    draw_map(SQUARE, scene.truth.map_layers.astype(np.float32)),
                ),
            )
        )
    return found
