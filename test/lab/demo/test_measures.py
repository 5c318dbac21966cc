from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.ideal_run import LATENCY_NS, PERIOD_NS, START_NS, ideal_run, measured, sensing

from metabev_ros.lab.demo.events import NEVER_MS
from metabev_ros.lab.demo.targets import make_checks
from metabev_ros.structures import Modality, SensorState


@pytest.fixture
def run(plan, rig):
    return ideal_run(plan, rig)


def missed(run, plan, rig, node_exit=0):
    """Ids of the checks that are not met."""
    checks = make_checks(measured(run, plan, rig), rig, sensing(), node_exit)
    return {check.record.id.removeprefix('demo.') for check in checks if check.record.met is False}


def during(plan, name, output):
    fault = plan.named(name)
    return fault.begin < (output.stamp_ns - START_NS) * 1e-9 < fault.end


def test_a_node_that_does_everything_right_meets_every_target(run, plan, rig):
    assert missed(run, plan, rig) == set()


def test_delays_are_what_the_made_up_node_was_given(run, plan, rig):
    event = measured(run, plan, rig).event('cameras')
    phase = plan.named('cameras').begin * 1e9 % PERIOD_NS
    assert event.label_stamp == pytest.approx((PERIOD_NS - phase) / 1e6, abs=1e-3)
    assert event.label_wall == pytest.approx((PERIOD_NS - phase + LATENCY_NS) / 1e6, abs=1e-3)
    assert event.expected is Modality.LIDAR


def test_one_output_that_names_a_dead_camera_is_a_wrong_label(run, plan, rig):
    index = next(i for i, o in enumerate(run.outputs) if during(plan, 'cameras', o))
    ages = {**run.outputs[index].ages_ns, 'CAM_FRONT': 0}
    run.outputs[index] = dataclasses.replace(
        run.outputs[index], ages_ns=ages, modality=Modality.FUSED
    )
    labels = measured(run, plan, rig).labels
    assert any('CAM_FRONT published nothing' in text for text in labels.wrong)
    assert 'labels.wrong' in missed(run, plan, rig)


def test_a_map_is_held_to_the_same_as_detections(run, plan, rig):
    run.maps[0] = dataclasses.replace(run.maps[0], modality=Modality.CAMERA)
    assert any(text.startswith('bev_map') for text in measured(run, plan, rig).labels.wrong)


def test_an_age_that_hides_an_old_image_is_a_wrong_label(run, plan, rig):
    output = run.outputs[5]
    stamp = run.newest_sent('CAM_BACK', output.stamp_ns - 130_000_000, 100_000_000)
    old = dict(output.ages_ns, CAM_BACK=output.stamp_ns - stamp)
    run.outputs[5] = dataclasses.replace(output, ages_ns=old)
    wrong = measured(run, plan, rig).labels.wrong
    assert any('ms from the stamp' in text and 'CAM_BACK' in text for text in wrong)


def test_an_image_served_again_though_its_successor_was_there_is_found_out(run, plan, rig):
    # The image before the last one, with an age that a label may say.
    index, output, name, before = next(
        (i, o, name, before)
        for i, o in enumerate(run.outputs)
        if i > 24  # the start is over
        for name in o.ages_ns
        if (before := run.newest_sent(name, o.stamp_ns - 119_000_000, 5_000_000)) is not None
    )
    ages = {**output.ages_ns, name: output.stamp_ns - before}
    run.outputs[index] = dataclasses.replace(output, ages_ns=ages)
    run.maps[index] = dataclasses.replace(run.maps[index], ages_ns=ages)
    assert missed(run, plan, rig) == {'labels.passed_over', 'ages.cameras_largest'}


def test_an_output_without_a_camera_that_is_well_is_incomplete(run, plan, rig):
    assert measured(run, plan, rig).labels.complete == measured(run, plan, rig).labels.healthy
    run.outputs[4::20] = [
        dataclasses.replace(
            output, ages_ns={n: age for n, age in output.ages_ns.items() if n != 'CAM_BACK'}
        )
        for output in run.outputs[4::20]
    ]
    assert 'labels.complete' in missed(run, plan, rig)


def test_rates_and_ages_are_those_of_the_run(run, plan, rig):
    sensors = {sensor.name: sensor for sensor in measured(run, plan, rig).sensors}
    lidar, camera = sensors['LIDAR_TOP'], sensors['CAM_BACK']
    assert lidar.published_hz == pytest.approx(20.0) and camera.published_hz == pytest.approx(12.0)
    assert lidar.ages.max() == 0 and lidar.again == 0
    assert (camera.way, lidar.way) == pytest.approx((22.0, 7.0))
    assert -23 <= camera.healthy_ages.min() < 0 < camera.healthy_ages.max() <= 1e3 / 12 - 23
    # 20 samples a second share 12 images.
    assert camera.again == pytest.approx(8 / 20, abs=0.03)
    assert (camera.least, camera.greatest) == pytest.approx((-55.0, 125.0))


def test_a_rate_that_the_node_says_wrongly_is_found_out(run, plan, rig):
    run.statuses = [
        dataclasses.replace(
            s,
            sensors=tuple(
                dataclasses.replace(r, rate_hz=10.0) if r.name == 'CAM_BACK' else r
                for r in s.sensors
            ),
        )
        for s in run.statuses
    ]
    run.finish()
    assert missed(run, plan, rig) == {'rates.reported'}


def test_images_older_than_a_period_are_found_out_though_labels_may_say_so(run, plan, rig):
    for index in range(24, 36):  # at some of the phases one is between 84 and 125 ms old
        output = run.outputs[index]
        for name in ('CAM_BACK', 'CAM_FRONT'):
            before = run.newest_sent(name, output.stamp_ns - 84_000_000, 30_000_000)
            if before is not None:
                ages = {**output.ages_ns, name: output.stamp_ns - before}
                run.outputs[index] = dataclasses.replace(output, ages_ns=ages)
    assert missed(run, plan, rig) == {'ages.cameras_largest'}


def test_a_dead_camera_that_goes_on_serving_is_found_out(run, plan, rig):
    fault = plan.named('two_cameras')
    begin = START_NS + round(fault.begin * 1e9)
    index = next(i for i, o in enumerate(run.outputs) if o.stamp_ns > begin + 90_000_000)
    output = run.outputs[index]
    last = run.newest_sent('CAM_FRONT', output.stamp_ns, 10**9)
    ages = {**output.ages_ns, 'CAM_FRONT': output.stamp_ns - last}
    run.outputs[index] = dataclasses.replace(output, ages_ns=ages)
    assert 'two_cameras.still_named' in missed(run, plan, rig)


def test_an_output_that_came_before_its_data_is_a_wrong_label(run, plan, rig):
    run.outputs[3] = dataclasses.replace(run.outputs[3], wall_ns=run.outputs[3].stamp_ns)
    assert 'labels.wrong' in missed(run, plan, rig)


def test_a_status_that_contradicts_its_output_is_a_wrong_label(run, plan, rig):
    for index, status in enumerate(run.statuses):
        if not status.is_heartbeat:
            run.statuses[index] = dataclasses.replace(status, modality=Modality.LIDAR)
            break
    run.finish()
    assert any('status' in text for text in measured(run, plan, rig).labels.wrong)


def test_a_pause_of_half_a_second_after_the_lidar_died_is_too_long(run, plan, rig):
    fault = plan.named('lidar')
    run.outputs = [
        o
        for o in run.outputs
        if not fault.begin <= (o.stamp_ns - START_NS) * 1e-9 < fault.begin + 0.5
    ]
    assert 'lidar.silence' in missed(run, plan, rig)


def test_a_node_that_goes_silent_without_the_cameras_is_found_out(run, plan, rig):
    run.outputs = [o for o in run.outputs if not during(plan, 'cameras', o)]
    assert measured(run, plan, rig).event('cameras').label_stamp == NEVER_MS
    assert {'cameras.label_stamp', 'cameras.silence'} <= missed(run, plan, rig)


def test_outputs_go_on_without_any_sensor_only_in_a_lie(run, plan, rig):
    fault = plan.named('everything')
    stamp = START_NS + round((fault.begin + 1) * 1e9)
    run.outputs.append(
        dataclasses.replace(run.outputs[0], stamp_ns=stamp, wall_ns=stamp + LATENCY_NS)
    )
    run.finish()
    assert 'labels.wrong' in missed(run, plan, rig)


def test_a_heartbeat_that_stops_with_the_sensors_is_found_out(run, plan, rig):
    fault = plan.named('everything')
    run.statuses = [
        s for s in run.statuses if not fault.begin < (s.wall_ns - START_NS) * 1e-9 < fault.end
    ]
    run.finish()
    assert {'everything.status_rate', 'everything.none_share'} <= missed(run, plan, rig)


def test_diagnostics_that_stay_green_in_the_dark_are_found_out(run, plan, rig):
    run.diagnostics = [dataclasses.replace(d, level=0) for d in run.diagnostics]
    assert 'everything.error_share' in missed(run, plan, rig)


def test_a_frozen_camera_that_nobody_names_is_found_out(run, plan, rig):
    (camera,) = plan.named('frozen').sensors
    run.statuses = [
        dataclasses.replace(
            s,
            sensors=tuple(
                dataclasses.replace(r, state=SensorState.OK) if r.name == camera else r
                for r in s.sensors
            ),
        )
        for s in run.statuses
    ]
    run.finish()
    assert 'frozen.named' in missed(run, plan, rig)


def test_a_frozen_camera_that_is_named_and_used_all_the_same_is_found_out(run, plan, rig):
    fault = plan.named('frozen')
    late = START_NS + round((fault.begin + 1.5) * 1e9)
    index = next(i for i, o in enumerate(run.outputs) if o.stamp_ns > late)
    ages = {**run.outputs[index].ages_ns, fault.sensors[0]: 0}
    run.outputs[index] = dataclasses.replace(run.outputs[index], ages_ns=ages)
    assert measured(run, plan, rig).frozen.used_after == 1
    assert 'frozen.used_after' in missed(run, plan, rig)


def test_a_slow_recovery_is_found_out(run, plan, rig):
    fault = plan.named('two_cameras')
    run.outputs = [
        o for o in run.outputs if not fault.end <= (o.stamp_ns - START_NS) * 1e-9 < fault.end + 0.6
    ]
    assert 'two_cameras.recovery' in missed(run, plan, rig)


def test_a_node_that_ends_badly_misses_a_target(run, plan, rig):
    assert missed(run, plan, rig, node_exit=-11) == {'node_exit'}


def test_a_machine_that_sends_late_is_said_to_be_late(run, plan, rig):
    assert measured(run, plan, rig).lateness == pytest.approx(2.0)
    for pairs in run.published.values():
        pairs[:, 1] += 40_000_000
    assert measured(run, plan, rig).lateness == pytest.approx(42.0)


def test_publications_are_the_oracle_not_the_plan(run, plan, rig):
    stamps = run.published['LIDAR_TOP']
    gone = stamps[len(stamps) // 10]
    run.published['LIDAR_TOP'] = stamps[stamps[:, 0] != gone[0]]
    wrong = measured(run, plan, rig).labels.wrong
    assert len(wrong) == 2 and all('LIDAR_TOP' in text for text in wrong)
    assert np.all(np.diff(run.published['LIDAR_TOP'][:, 0]) > 0)
