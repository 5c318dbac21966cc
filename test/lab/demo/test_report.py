from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree

import imageio_ffmpeg
import numpy as np
import pytest
from support.ideal_run import ideal_run, measured, sensing

from metabev_ros.drawing import MODALITY_COLOURS
from metabev_ros.lab.demo.moving import moving_timeline
from metabev_ros.lab.demo.pictures import made_from, moments
from metabev_ros.lab.demo.plots import plot_ages, plot_delays, plot_latency, plot_timeline
from metabev_ros.lab.demo.report import Report, write_report
from metabev_ros.lab.demo.scene import Scene, draw_film_frame, draw_scene
from metabev_ros.lab.demo.targets import make_checks
from metabev_ros.lab.report.film import VIDEO_LAYOUT, write_video
from metabev_ros.lab.report.gathering import FilmTimes
from metabev_ros.pages.messages import Frame
from metabev_ros.pages.parts import Picture
from metabev_ros.structures import Modality


def report_of(run, plan, rig, node_exit=0, load=''):
    measures = measured(run, plan, rig)
    checks = make_checks(measures, rig, sensing(), node_exit, is_busy=bool(load))
    picture = Picture('grey', 'A <grey> square.', np.full((8, 8, 3), 99, np.uint8))
    return Report(
        'Sensors & more.',
        checks,
        load,
        measures.labels.wrong,
        None,
        *moving_timeline(run, plan, rig, FilmTimes(10.0, 20)),
        plot_timeline(run, plan, rig),
        measures.sensors,
        plot_ages(run, measures.sensors),
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
    marked_up = re.sub(r'<script.*?</script>', '', text, flags=re.DOTALL)
    assert set(re.findall(r'(?:src|href)="([^"]{5})', marked_up)) == {'data:'}
    assert "default-src 'none'" in marked_up  # what the scripts may load: nothing
    assert 'A &lt;grey&gt; square.' in text and 'Sensors &amp; more.' in text
    assert 'targets met</span>' in text and 'missed' not in text


def test_a_missed_target_is_the_first_thing_the_report_says(plan, rig, tmp_path):
    report = report_of(ideal_run(plan, rig), plan, rig, node_exit=-9)
    assert not report.is_met
    write_report(report, tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    assert re.search(r'class="verdict bad">1 of \d+ targets missed', text)


def test_the_report_has_the_rates_and_ages_of_every_sensor(plan, rig, tmp_path):
    write_report(report_of(ideal_run(plan, rig), plan, rig), tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    row = re.search(r'<th>CAM_BACK</th>(.*?)</tr>', text).group(1)
    assert re.findall(r'>([^<]+)</td>', row)[:4] == ['12.0 Hz', '12.0 Hz', '12.0 Hz', '22.0 ms']
    assert '-55 to 125 ms' in row
    row = re.search(r'<th>LIDAR_TOP</th>(.*?)</tr>', text).group(1)
    assert '20.0 Hz' in row and '>0 ms<' in row


def test_plots_are_well_formed_and_the_same_every_time(plan, rig):
    run = ideal_run(plan, rig)
    for plot in (
        lambda: plot_timeline(run, plan, rig),
        lambda: plot_latency(run, plan),
        lambda: plot_ages(run, measured(run, plan, rig).sensors),
        lambda: plot_delays(measured(run, plan, rig)),
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


def test_an_instant_without_output_is_drawn_as_no_sensor(empty_scene):
    picture = draw_scene(empty_scene, VIDEO_LAYOUT)
    assert picture.shape == (VIDEO_LAYOUT.height, VIDEO_LAYOUT.width, 3)
    assert tuple(picture[3, 3]) == MODALITY_COLOURS[Modality.NONE]


def test_a_caption_counts_the_sensors_that_the_output_names(empty_scene):
    assert made_from(empty_scene) == 'No output for this instant.'
    frame = Frame(Modality.FUSED, ('CAM_BACK', 'CAM_FRONT', 'LIDAR_TOP'), None, None)
    text = made_from(dataclasses.replace(empty_scene, frame=frame))
    assert text == 'Labelled FUSED: 2 of 6 cameras and the LiDAR.'


def test_the_film_has_one_picture_a_scene(empty_scene, tmp_path):
    path = tmp_path / 'run.mp4'
    write_video(path, [empty_scene] * 7, draw_film_frame, 10.0, workers=1)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 7
    assert list(tmp_path.iterdir()) == [path]


def test_the_report_says_what_a_busy_machine_was_not_held_to(plan, rig, tmp_path):
    report = report_of(ideal_run(plan, rig), plan, rig, load='others kept 1 of 2 cores')
    write_report(report, tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    verdict = re.search(r'5 of 5 targets met</span> <b>(\d+) not judged: busy machine</b>', text)
    assert 'others kept 1 of 2 cores' in text
    assert (
        text.count('<td>not&nbsp;judged:&nbsp;busy&nbsp;machine</td>')
        == int(verdict.group(1))
        > 10
    )
