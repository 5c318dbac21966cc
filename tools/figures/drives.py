"""Pictures of a drive: a fault plan and what the sensing made of it; one instant by modality."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
from support.fake_drive import SENSORS, T0
from support.injected_drive import LEAD, Run, run

from figures import style
from metabev_ros.config import RigConfig, load_config
from metabev_ros.drawing import BevView, draw_banner, draw_bev, draw_boxes_on_image
from metabev_ros.faults.plan import FaultPlan, find_plan
from metabev_ros.geometry import transform_points
from metabev_ros.lab.datasets.samples import restrict_to, sample_from_frame
from metabev_ros.lab.datasets.synthetic import DriveConfig, DriveFrame, SyntheticDrive
from metabev_ros.pipeline import Pipeline
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality, SensorState

# ------------------------------------------------------------------------------- fault timeline
ACTIONS = {
    'passed': '#d9d9d9',
    'dropped': style.BAD,
    'repeated': '#8e44ad',
    'damaged': '#e67e22',
    'delayed': style.CAMERA,
}
USE = {'used': style.GOOD, 'used, flagged': style.FLAGGED, 'not used': style.FAINT}


def _play(plan: FaultPlan, names: tuple[str, ...]) -> Run:
    """The plan on the scripted drive, whose sensors bear other names than the rig's."""
    other = dict(zip(names, SENSORS, strict=True))
    faults = [
        replace(
            fault,
            sensors=tuple(other.get(word, word) for word in fault.sensors),
            begin=fault.begin + LEAD,
            end=fault.end + LEAD,
        )
        for fault in plan.faults
    ]
    return run(*faults, seconds=max(fault.end for fault in plan.faults) + 2, check=True)


def _draw_truth(axes: plt.Axes, plan: FaultPlan, result: Run) -> None:
    """What the injector did with every message, one line a sensor."""
    for line, name in enumerate(SENSORS):
        for action, colour in ACTIONS.items():
            times = [
                (t.arrival_ns - T0) / 1e9 for t in result.truth_of(name) if t.action == action
            ]
            axes.scatter(times, [line] * len(times), color=colour, marker='|', s=90)
    for fault in plan.faults:
        axes.axvline(fault.begin, color='#999999', linewidth=0.6, zorder=0)
        axes.annotate(
            fault.title,
            (fault.begin, -1.0),
            fontsize=style.SMALL,
            rotation=35,
            va='bottom',
            annotation_clip=False,
        )
    axes.set_title('injected: the truth about every message', loc='left', pad=78)


def _draw_use(axes: plt.Axes, result: Run) -> None:
    """Which sensors each output names, one line a sensor."""
    for sample in result.samples:
        for line, report in enumerate(sample.sensors):
            words = 'not used'
            if report.used:
                words = 'used, flagged' if report.state is SensorState.SUSPECT else 'used'
            second = (sample.stamp_ns - T0) / 1e9
            axes.scatter(second, line, marker='|', s=90, color=USE[words])
    axes.set_title(
        'perceived: the sensors that each output names; a gap is an output that was not made',
        loc='left',
    )
    axes.set_xlabel('seconds')


def draw_fault_timeline(plan_name: str, path: Path) -> None:
    """The truth of the injector above what the outputs say; the clock is made up."""
    plan = find_plan(plan_name)
    names = load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml')).sensor_names
    result = _play(plan, names)
    figure, (truth, used) = plt.subplots(
        2, 1, figsize=(11, 6.8), sharex=True, layout='constrained'
    )
    _draw_truth(truth, plan, result)
    _draw_use(used, result)
    for axes, legend in ((truth, ACTIONS), (used, USE)):
        style.name_lines(axes, list(names))
        axes.legend(
            [style.bar(colour) for colour in legend.values()],
            legend,
            loc='center left',
            bbox_to_anchor=(1.0, 0.5),
            frameon=False,
        )
    style.save(figure, path)


# ------------------------------------------------------------------------------------ modalities
SHOWN_SCORE = 0.25
SHOWN_CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT')
WIDTH, BANNER, GAP = 560, 44, 6  # pixels


def _column(pipeline: Pipeline, frame: DriveFrame, modality: Modality) -> np.ndarray:
    """Banner, three cameras (black when dead) with the boxes found, bird's-eye view."""
    sample = restrict_to(sample_from_frame(frame, pipeline.prepare_image), modality)
    result = pipeline(sample)
    keep = result.detections.scores >= SHOWN_SCORE
    boxes, labels, scores = (
        array[keep]
        for array in (result.detections.boxes, result.detections.labels, result.detections.scores)
    )
    tiles = []
    for name in SHOWN_CAMERAS:
        image = np.zeros_like(frame.images[name]) + 24
        if sample.cameras[name] is not None:
            image = draw_boxes_on_image(
                frame.images[name], boxes, labels, scores, frame.calibrations[name]
            )
        size = (WIDTH // 3, WIDTH // 3 * image.shape[0] // image.shape[1])
        tiles.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    row = np.hstack(tiles)
    row = np.pad(row, ((0, 0), (0, WIDTH - row.shape[1]), (0, 0)))
    points = None
    if sample.sweep is not None:
        points = transform_points(frame.ego_from_lidar, frame.points[:, :3])
    truth = frame.ground_truth
    bev = draw_bev(
        BevView(WIDTH, WIDTH, 45.0),
        result.map_probabilities,
        points=points,
        boxes=boxes,
        labels=labels,
        scores=scores,
        truth=truth.boxes[truth.num_lidar_pts > 0],
    )
    return np.vstack([draw_banner(WIDTH, BANNER, sample.modality, sample.sensors), row, bev])


def draw_modalities(seed: int, path: Path) -> None:
    """One held-out instant with all sensors, with the LiDAR alone and with the cameras alone."""
    pipeline = Pipeline.load(resource_path('models/metabev_nano'))
    frame = SyntheticDrive(seed, DriveConfig(frames=1))[0]
    parts: list[np.ndarray] = []
    for modality in (Modality.FUSED, Modality.LIDAR, Modality.CAMERA):
        column = _column(pipeline, frame, modality)
        parts += [column, np.full((len(column), GAP, 3), 255, np.uint8)]
    picture = np.hstack(parts[:-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(path)
