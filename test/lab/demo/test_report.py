from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree

import imageio_ffmpeg
import numpy as np
import pytest
from support.ideal_run import ideal_run, sensing

from metabev_ros.config import RigConfig, load_config
from metabev_ros.drawing import MODALITY_COLOURS
from metabev_ros.faults.plan import find_plan
from metabev_ros.lab.datasets.synthetic import DriveConfig, SyntheticDrive
from metabev_ros.lab.demo.evidence import Frame
from metabev_ros.lab.demo.measures import measure
from metabev_ros.lab.demo.pictures import Picture, made_from, moments
from metabev_ros.lab.demo.plots import plot_delays, plot_latency, plot_timeline
from metabev_ros.lab.demo.report import Report, write_report
from metabev_ros.lab.demo.scene import Mounting, Scene, draw_scene
from metabev_ros.lab.demo.targets import make_checks
from metabev_ros.lab.demo.video import VIDEO_LAYOUT, write_video
from metabev_ros.resources import resource_path
from metabev_ros.structures import Modality


@pytest.fixture
def rig():
    return load_config(RigConfig, resource_path('config/rigs/nuscenes_like.yaml'))


@pytest.fixture
def plan():
    return find_plan('sensor_loss')


def report_of(run, plan, rig, node_exit=0):
    measures = measure(run, plan, rig, sensing())
    checks = make_checks(measures, rig, sensing(), node_exit)
    picture = Picture('grey', 'A <grey> square.', np.full((8, 8, 3), 99, np.uint8))
    return Report(
        'Sensors & more.',
        checks,
        measures.labels.wrong,
        None,
        plot_timeline(run, plan, rig),
        plot_delays(measures),
        plot_latency(run, plan),
        plot_delays(measures),
        [picture],
        [picture],
        [picture] * 4,
        [(picture, picture)],
        [('seed', '1')],
    )


def test_a_report_needs_nothing_from_outside_and_quotes_its_texts(plan, rig, tmp_path):
    write_report(report_of(ideal_run(plan, rig), plan, rig), tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) == {'data:'}
    assert 'A &lt;grey&gt; square.' in text and 'Sensors &amp; more.' in text
    assert 'targets met</span>' in text and 'missed' not in text


def test_a_missed_target_is_the_first_thing_the_report_says(plan, rig, tmp_path):
    report = report_of(ideal_run(plan, rig), plan, rig, node_exit=-9)
    assert not report.is_met
    write_report(report, tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    assert re.search(r'class="verdict bad">1 of \d+ targets missed', text)


def test_plots_are_well_formed_and_the_same_every_time(plan, rig):
    run = ideal_run(plan, rig)
    for plot in (
        lambda: plot_timeline(run, plan, rig),
        lambda: plot_latency(run, plan),
        lambda: plot_delays(measure(run, plan, rig, sensing())),
    ):
        first = plot()
        assert xml.etree.ElementTree.fromstring(first).tag.endswith('svg')
        assert first == plot()


def test_every_moment_of_a_fault_lies_inside_it(plan):
    for name, seconds, _ in moments(plan):
        assert (not plan.lasting(seconds)) == (name == 'fused')


@pytest.fixture
def empty_scene(rig):
    return Scene(0, {camera.name: None for camera in rig.cameras}, None, None, None, None, 'dark')


@pytest.fixture
def mounting():
    frame = SyntheticDrive(
        900_321, DriveConfig(frames=1, image_width=176, image_height=64, lidar_azimuths=36)
    )[0]
    return Mounting(frame.calibrations, frame.ego_from_lidar)


def test_an_instant_without_output_is_drawn_as_no_sensor(empty_scene, mounting):
    picture = draw_scene(empty_scene, mounting, VIDEO_LAYOUT)
    assert picture.shape == (VIDEO_LAYOUT.height, VIDEO_LAYOUT.width, 3)
    assert tuple(picture[3, 3]) == MODALITY_COLOURS[Modality.NONE]


def test_a_caption_counts_the_sensors_that_the_output_names(empty_scene):
    assert made_from(empty_scene) == 'No output for this instant.'
    frame = Frame(Modality.FUSED, ('CAM_BACK', 'CAM_FRONT', 'LIDAR_TOP'), None, None)
    text = made_from(dataclasses.replace(empty_scene, frame=frame))
    assert text == 'Labelled FUSED: 2 of 6 cameras and the LiDAR.'


def test_the_film_has_one_picture_a_scene(empty_scene, mounting, tmp_path):
    path = tmp_path / 'run.mp4'
    write_video(path, [empty_scene] * 7, mounting, 10.0, workers=1)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 7
    assert list(tmp_path.iterdir()) == [path]
