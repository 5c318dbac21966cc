"""Outputs in other packages' types: field by field against the result they were made of."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest
from support.made_model import MODEL
from test_wire import STAMP, decoded, make_result

from metabev_ros import wire
from metabev_ros.class_errors import ClassErrors
from metabev_ros.config import MarkersConfig
from metabev_ros.outputs import result_messages, track_messages
from metabev_ros.sensing.decoding import read_compressed_image
from metabev_ros.structures import CameraCalibration, CameraImage, Modality, PerceptionResult
from metabev_ros.tracks import Track, TrackedObjects, TrackState
from metabev_ros.wire.autoware import AUTOWARE_CLASSES, autoware_tracks

ERRORS = {
    Modality.LIDAR: {
        'car': ClassErrors(50, 0.4, 0.2, 0.1, 1.5),
        'pedestrian': ClassErrors(9, 0.3, 0.1, 0.7),
    }
}
MEASURED = dataclasses.replace(MODEL, errors=ERRORS)


def made(topic: str, result: PerceptionResult | None = None, model=MEASURED):
    result = result or make_result()
    return decoded(result_messages(result, model, 'base_link', MarkersConfig(), (topic,)))[topic]


def yaw_of(orientation) -> float:
    assert orientation.x == orientation.y == 0
    assert math.hypot(orientation.z, orientation.w) == pytest.approx(1)
    return 2 * math.atan2(orientation.z, orientation.w)


def matrix(covariance) -> np.ndarray:
    return np.asarray(covariance).reshape(6, 6)


def test_vision_msgs_have_class_score_pose_and_size_of_every_box() -> None:
    array = made('vision_detections')
    assert wire.stamp_to_ns(array.header.stamp) == STAMP and array.header.frame_id == 'base_link'
    car, person = array.detections
    assert [d.results[0].hypothesis.class_id for d in (car, person)] == ['car', 'pedestrian']
    assert [d.results[0].hypothesis.score for d in (car, person)] == pytest.approx([0.9, 0.25])
    centre, size = car.bbox.center, car.bbox.size
    assert (centre.position.x, centre.position.y, centre.position.z) == (10, -3, 0.5)
    assert (size.x, size.y, size.z) == pytest.approx((4.6, 1.9, 1.7))
    assert yaw_of(centre.orientation) == pytest.approx(0.3)
    assert car.results[0].pose.pose == centre and car.header == array.header


def test_covariances_are_squares_of_what_was_measured_for_the_modality_and_class() -> None:
    car, person = made('vision_detections').detections
    expected = np.diag([0.16, 0.16, 0.04, 0, 0, 0.01])
    assert matrix(car.results[0].pose.covariance) == pytest.approx(expected)
    assert matrix(person.results[0].pose.covariance)[5, 5] == pytest.approx(0.49)
    ours = made(wire.DETECTIONS).detections
    assert [d.has_covariance for d in ours] == [True, True]
    assert [d.has_velocity_covariance for d in ours] == [True, False]
    assert np.asarray(ours[0].position_covariance).reshape(3, 3) == pytest.approx(expected[:3, :3])
    assert ours[0].yaw_variance == pytest.approx(0.01)
    assert np.asarray(ours[0].velocity_covariance) == pytest.approx(
        np.diag([2.25, 2.25, 0]).reshape(-1)
    )


def test_what_was_measured_of_another_branch_or_never_is_flagged_as_unknown() -> None:
    other = dataclasses.replace(MODEL, errors={Modality.FUSED: ERRORS[Modality.LIDAR]})
    for model in (MODEL, other):
        for detection in made(wire.DETECTIONS, model=model).detections:
            assert not detection.has_covariance and not detection.has_velocity_covariance
            assert not np.any(detection.position_covariance) and not detection.yaw_variance
        hypothesis = made('vision_detections', model=model).detections[0].results[0]
        assert not np.any(hypothesis.pose.covariance)
        kinematics = made('autoware_objects', model=model).objects[0].kinematics
        assert not kinematics.has_position_covariance
        assert not kinematics.has_twist and not kinematics.has_twist_covariance
        assert kinematics.twist_with_covariance.twist.linear.x == 0


def test_autoware_gets_its_own_classes_and_twists_in_the_objects_frame() -> None:
    car, person = made('autoware_objects').objects
    assert [o.classification[0].label for o in (car, person)] == [1, 7]
    assert [o.existence_probability for o in (car, person)] == pytest.approx([0.9, 0.25])
    kinematics = car.kinematics
    assert kinematics.orientation_availability == kinematics.AVAILABLE
    assert kinematics.has_position_covariance and kinematics.has_twist_covariance
    twist = kinematics.twist_with_covariance
    c, s = math.cos(0.3), math.sin(0.3)  # 5, -1 in the ego's axes
    assert (twist.twist.linear.x, twist.twist.linear.y) == pytest.approx((5 * c - s, -5 * s - c))
    assert matrix(twist.covariance)[:2, :2] == pytest.approx(2.25 * np.eye(2))
    assert not person.kinematics.has_twist  # no velocity of a person was measured
    assert (car.shape.type, car.shape.dimensions.x) == (car.shape.BOUNDING_BOX, pytest.approx(4.6))


def test_every_class_is_one_of_autowares_or_unknown_and_says_what_its_heading_is_worth() -> None:
    classes = MODEL.detection_classes
    boxes = [[5 * k, 0, 0, 1, 1, 1, 1.0, 0, 0] for k in range(len(classes))]
    result = make_result(boxes, [0.5] * len(boxes), list(range(len(boxes))))
    found = dict(zip(classes, made('autoware_objects', result).objects, strict=True))
    assert {name for name, o in found.items() if o.classification[0].label == 0} == {
        'barrier',
        'traffic_cone',
    }
    assert set(AUTOWARE_CLASSES) == set(classes)
    cone, barrier = found['traffic_cone'].kinematics, found['barrier'].kinematics
    assert (cone.orientation_availability, barrier.orientation_availability) == (0, 1)
    assert yaw_of(cone.pose_with_covariance.pose.orientation) == 0


CAR = Track(
    id=2**40 + 3,
    state=TrackState.CONFIRMED,
    label=0,
    share=0.8,
    score=0.7,
    hits=5,
    first_ns=STAMP - 2_500_000_000,
    age_s=2.5,
    unseen_s=0.0,
    seen_modality=Modality.FUSED,
    box=np.array([1.0, 2, 3, 4.5, 1.8, 1.6, math.pi / 2, 0.0, 2.0]),
    yaw_variance=0.05,
    covariance=np.diag([1.0, 2.0, 3.0, 4.0, 5.0]),
    tail=np.array([[1.0, -2, 3], [1.0, 0, 3]]),
)


def followed(*tracks: Track, is_motion_known: bool = True) -> TrackedObjects:
    return TrackedObjects(STAMP, 0, Modality.FUSED, tracks, is_motion_known=is_motion_known)


def autowares(*tracks: Track) -> list:
    """What Autoware reads of these tracks."""
    cdr = wire.serialize(
        autoware_tracks(followed(*tracks), MODEL, 'base_link'), wire.AUTOWARE_TRACKS
    )
    return wire.deserialize(cdr, wire.AUTOWARE_TRACKS).objects


def test_a_track_keeps_its_identity_and_no_other_track_or_process_has_it() -> None:
    later = dataclasses.replace(CAR, age_s=7.0, hits=50, score=0.1, state=TrackState.COASTING)
    other = dataclasses.replace(CAR, id=CAR.id + 1)
    restarted = dataclasses.replace(CAR, first_ns=CAR.first_ns + 1)
    named = [bytes(o.object_id.uuid) for o in autowares(CAR, later, other, restarted)]
    assert named[0] == named[1] and len(set(named)) == 3
    assert int.from_bytes(named[0][8:], 'big') == CAR.id  # as in ~/tracks


def test_autoware_hears_of_coasting_tracks_by_their_probability_and_of_no_tentative_one() -> None:
    coasting = dataclasses.replace(CAR, state=TrackState.COASTING, score=0.2, unseen_s=1.0)
    tentative = dataclasses.replace(CAR, state=TrackState.TENTATIVE)
    found = autowares(CAR, tentative, coasting)
    assert [o.existence_probability for o in found] == pytest.approx([0.7, 0.2])


def test_autoware_is_told_nothing_where_the_vehicles_motion_is_not_known() -> None:
    topics = tuple(wire.standard_outputs())
    for is_known in (True, False):
        objects = followed(is_motion_known=is_known)
        made = track_messages(objects, MODEL, 'base_link', MarkersConfig(), topics)
        assert ('autoware_tracks' in {m.topic for m in made}) is is_known


def test_a_track_has_its_covariances_in_autowares_frames() -> None:
    (track,) = autowares(CAR)
    assert track.classification[0].probability == pytest.approx(0.8)
    place = matrix(track.kinematics.pose_with_covariance.covariance)
    assert np.diag(place) == pytest.approx([1, 2, 3, 0, 0, 0.05])
    twist = track.kinematics.twist_with_covariance  # it drives to the left, where it heads
    assert (twist.twist.linear.x, twist.twist.linear.y) == pytest.approx((2, 0))
    assert np.diag(matrix(twist.covariance))[:2] == pytest.approx([5, 4])
    assert not track.kinematics.is_stationary


def lit(*cells: tuple[int, int, int]) -> np.ndarray:
    probabilities = np.zeros((6, 200, 200), np.float32)
    for cell in cells:
        probabilities[cell] = 0.75
    return probabilities


def wide_result(probabilities: np.ndarray) -> PerceptionResult:
    """The LiDAR looked at everything with x > 0."""
    result = make_result(probabilities=probabilities)
    turn = np.radians(np.arange(-90, 90, 0.25) + 0.1)
    points = np.zeros((len(turn), 5), np.float32)
    points[:, 0], points[:, 1] = 90 * np.cos(turn), 90 * np.sin(turn)
    sweep = dataclasses.replace(result.sample.sweep, points=points)
    return dataclasses.replace(result, sample=dataclasses.replace(result.sample, sweep=sweep))


def test_a_layer_is_a_grid_in_percent_with_minus_one_where_nobody_looked() -> None:
    walkway = MODEL.map_classes.index('walkway')
    grid = made('layers/walkway', wide_result(lit((walkway, 30, 150), (walkway, 30, 20))))
    data = np.asarray(grid.data).reshape(200, 200)
    assert data[30, 150] == 75 and (data[:, :100] == -1).all()
    assert (np.delete(data[:, 100:].reshape(-1), 30 * 100 + 50) == 0).all()
    assert (grid.info.width, grid.info.height, grid.info.resolution) == (200, 200, 0.5)
    assert (grid.info.origin.position.x, grid.info.origin.position.y) == (-50, -50)


def test_the_drivable_area_says_minus_one_where_nobody_looked() -> None:
    drivable = MODEL.map_classes.index('drivable_area')
    grid = made(wire.DRIVABLE_AREA, wide_result(lit((drivable, 30, 150))))
    data = np.asarray(grid.data).reshape(200, 200)
    assert data[30, 150] == 25 and data[31, 150] == 100 and (data[:, :100] == -1).all()


def test_a_grid_map_holds_every_layer_where_its_own_geometry_puts_a_cell() -> None:
    divider = MODEL.map_classes.index('divider')
    message = made('grid_map', wide_result(lit((divider, 30, 150))))
    info, layers = message.info, dict(zip(message.layers, message.data, strict=True))
    assert set(layers) == set(MODEL.map_classes)
    columns, rows = (dim.size for dim in layers['divider'].layout.dim)
    assert [dim.label for dim in layers['divider'].layout.dim] == ['column_index', 'row_index']
    # grid_map_core: rows go along -x from the largest one, columns along -y; column-major.
    stored = np.asarray(layers['divider'].data).reshape(columns, rows).T
    row, column = np.argwhere(stored == np.float32(0.75))[0]
    centre = info.pose.position
    x = centre.x + info.length_x / 2 - (row + 0.5) * info.resolution
    y = centre.y + info.length_y / 2 - (column + 0.5) * info.resolution
    assert (x, y) == pytest.approx(tuple(MODEL.map_grid.centres()[30, 150]))
    assert np.isnan(stored[100:]).all() and not np.isnan(stored[:99]).any()


def test_a_scene_shows_every_class_as_one_entity_that_replaces_the_one_before() -> None:
    scene = made('scene')
    entities = {entity.id: entity for entity in scene.entities}
    assert set(entities) == set(MODEL.detection_classes)
    (cube,) = entities['car'].cubes
    assert (cube.pose.position.x, cube.size.x) == pytest.approx((10, 4.6))
    assert yaw_of(cube.pose.orientation) == pytest.approx(0.3)
    assert {pair.key: pair.value for pair in entities['car'].metadata} == {
        'modality': 'LIDAR',
        'sensors': 'LIDAR_TOP',
    }
    assert (entities['car'].lifetime.sec, entities['car'].lifetime.nanosec) == (0, 500_000_000)
    assert entities['bus'].cubes == [] and entities['bus'].frame_id == 'base_link'


def camera_result() -> PerceptionResult:
    """One camera that looks along x and one without an image."""
    forward = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
    intrinsics = np.array([[80.0, 0, 79.5], [0, 80, 44.5], [0, 0, 1]])
    pixels = np.full((90, 160, 3), (10, 120, 40), np.uint8)
    image = CameraImage(STAMP, pixels, CameraCalibration(160, 90, intrinsics, forward))
    result = make_result()
    sample = dataclasses.replace(
        result.sample, cameras={'CAM_FRONT': image, 'CAM_BACK': None}, modality=Modality.FUSED
    )
    return dataclasses.replace(result, sample=sample)


def test_the_overlay_is_one_picture_raw_and_as_the_jpeg_that_image_transport_reads() -> None:
    raw = made('overlay', camera_result())
    assert (raw.encoding, raw.step, len(raw.data)) == (
        'rgb8',
        3 * raw.width,
        3 * raw.width * raw.height,
    )
    pixels = np.asarray(raw.data).reshape(raw.height, raw.width, 3)
    box = pixels[40:310, :480]  # the first tile
    assert (np.abs(box.astype(int) - (255, 158, 0)).sum(-1) < 60).any()  # the car's colour
    assert (np.abs(box.astype(int) - (10, 120, 40)).sum(-1) < 12).mean() > 0.5  # in its colours
    jpeg = made('overlay/compressed', camera_result())
    assert jpeg.format == 'rgb8; jpeg compressed bgr8'
    decoded_jpeg = cv2.imdecode(np.asarray(jpeg.data), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded_jpeg.astype(int) - pixels).mean() < 3
    assert read_compressed_image(jpeg) is not None  # our own reader takes it too


def test_a_layer_of_any_name_has_a_topic_that_ros_allows() -> None:
    assert wire.layer_topic('ped_crossing') == 'layers/ped_crossing'
    assert wire.layer_topic('2nd lane-line') == 'layers/_2nd_lane_line'
