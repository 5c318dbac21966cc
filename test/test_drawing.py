"""Pictures: what is drawn stands where geometry says, and what is missing looks missing."""

import pickle

import cv2
import numpy as np
import pytest

from metabev_ros.drawing import (
    BevView,
    PanelLayout,
    class_colour,
    compose_panel,
    draw_banner,
    draw_bev,
    draw_boxes_on_image,
    draw_map,
    draw_sensor_panel,
)
from metabev_ros.drawing.boxes import NEAR_PLANE_M, clip_near
from metabev_ros.drawing.style import BACKGROUND, MAP_COLOURS, MODALITY_COLOURS, STATE_COLOURS
from metabev_ros.errors import ConfigError
from metabev_ros.geometry import (
    NUSCENES_MAP_GRID,
    box_corners,
    inverse_rigid,
    points_in_box,
    project_points,
    transform_points,
)
from metabev_ros.structures import (
    DETECTION_CLASSES,
    MAP_CLASSES,
    CameraCalibration,
    Modality,
    SensorKind,
    SensorReport,
    SensorState,
)

FORWARD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
CALIBRATION = CameraCalibration(
    704, 256, np.array([[560.0, 0, 352], [0, 560, 120], [0, 0, 1]]), FORWARD
)
CAR = np.array([[15.0, 2.0, 1.0, 4.5, 1.9, 1.6, 0.4, 0.0, 0.0]])
CAR_LABEL = np.array([DETECTION_CLASSES.index('car')])
VIEW = BevView(400, 400, 40.0)


def black(calibration=CALIBRATION):
    return np.zeros((calibration.height, calibration.width, 3), np.uint8)


def looks_like(pixel, colour, tolerance=60):
    return np.abs(np.asarray(pixel, int) - np.asarray(colour)).max() <= tolerance


def changed(picture, base):
    return np.abs(picture.astype(int) - base.astype(int)).max(axis=2) > 20


# ------------------------------------------------------------------------- boxes in images
def test_every_projected_corner_has_the_class_colour():
    picture = draw_boxes_on_image(black(), CAR, CAR_LABEL, None, CALIBRATION, with_text=False)
    corners = transform_points(inverse_rigid(FORWARD), box_corners(CAR))[0]
    pixels = np.round(project_points(CALIBRATION.intrinsics, corners)[0]).astype(int)
    for u, v in pixels:
        patch = picture[v - 1 : v + 2, u - 1 : u + 2].reshape(-1, 3)
        assert any(looks_like(pixel, class_colour('car'), 90) for pixel in patch), (u, v)


def test_nothing_is_painted_outside_the_projected_box():
    picture = draw_boxes_on_image(black(), CAR, CAR_LABEL, None, CALIBRATION, with_text=False)
    corners = transform_points(inverse_rigid(FORWARD), box_corners(CAR))[0]
    pixels = project_points(CALIBRATION.intrinsics, corners)[0]
    rows, columns = np.nonzero(changed(picture, black()))
    assert rows.min() >= pixels[:, 1].min() - 2 and rows.max() <= pixels[:, 1].max() + 2
    assert columns.min() >= pixels[:, 0].min() - 2 and columns.max() <= pixels[:, 0].max() + 2


def test_the_front_face_is_shaded_and_the_rear_is_not():
    towards = CAR.copy()
    towards[0, 6] = np.pi  # it looks at the camera
    away = CAR.copy()
    away[0, 6] = 0.0
    area = [
        changed(
            draw_boxes_on_image(black(), box, CAR_LABEL, None, CALIBRATION, with_text=False),
            black(),
        ).sum()
        for box in (towards, away)
    ]
    assert area[0] > 1.2 * area[1]  # the nearer face is larger in the picture


def test_a_box_behind_the_camera_draws_nothing():
    box = CAR.copy()
    box[0, 0] = -15.0
    picture = draw_boxes_on_image(black(), box, CAR_LABEL, np.array([0.9]), CALIBRATION)
    assert not picture.any()


def test_a_box_through_the_image_plane_is_clipped_and_does_not_mirror():
    beside = np.array([[0.0, -2.5, 1.0, 12.0, 2.0, 1.6, 0.0, 0.0, 0.0]])  # right of the camera
    picture = draw_boxes_on_image(black(), beside, CAR_LABEL, None, CALIBRATION, with_text=False)
    columns = np.nonzero(picture.any(axis=2))[1]
    assert len(columns) and columns.min() > CALIBRATION.width / 2


def test_clipping_keeps_what_is_in_front_and_cuts_exactly_at_the_plane():
    square = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 3], [-1, 0, 3.0]])
    clipped = clip_near(square)
    assert len(clipped) == 4 and clipped[:, 2].min() == pytest.approx(NEAR_PLANE_M)
    np.testing.assert_array_equal(clip_near(square + [0, 0, 5]), square + [0, 0, 5])
    assert clip_near(square - [0, 0, 9]).shape == (0, 3)


def test_the_nearer_box_is_drawn_over_the_farther_one():
    boxes = np.concatenate([CAR, CAR])
    boxes[:, 6] = 0.0
    boxes[1, 0] += 4.4  # starts where the first ends
    labels = np.array([CAR_LABEL[0], DETECTION_CLASSES.index('bus')])
    pictures = [
        draw_boxes_on_image(
            black(), boxes[order], labels[order], None, CALIBRATION, with_text=False
        )
        for order in ([0, 1], [1, 0])
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_the_given_image_stays_as_it_was():
    image = black()
    draw_boxes_on_image(image, CAR, CAR_LABEL, None, CALIBRATION)
    assert not image.any()


def test_an_image_of_another_size_than_its_calibration_is_refused():
    with pytest.raises(ConfigError, match='704 x 256'):
        draw_boxes_on_image(np.zeros((900, 1600, 3), np.uint8), CAR, CAR_LABEL, None, CALIBRATION)


# --------------------------------------------------------------------------- bird's-eye view
def test_a_point_ahead_is_up_and_a_point_to_the_left_is_left():
    centre = VIEW.pixels(np.zeros(2))
    ahead, left = VIEW.pixels(np.array([[20.0, 0.0], [0.0, 20.0]]))
    assert ahead[1] < centre[1] and ahead[0] == pytest.approx(centre[0])
    assert left[0] < centre[0] and left[1] == pytest.approx(centre[1])


def test_pixels_and_metres_are_inverse():
    metres = VIEW.metres()
    u, v = np.meshgrid(np.arange(VIEW.width), np.arange(VIEW.height))
    np.testing.assert_allclose(VIEW.pixels(metres), np.stack([u, v], axis=-1), atol=1e-9)


@pytest.mark.parametrize(
    ('xy', 'row', 'column'),
    [
        ((20.0, 0.0), slice(95, 105), slice(195, 205)),
        ((0.0, 20.0), slice(195, 205), slice(95, 105)),
        ((-20.0, -20.0), slice(295, 305), slice(295, 305)),
    ],
)
def test_lidar_points_appear_where_they_are(xy, row, column):
    empty = draw_bev(VIEW)
    picture = draw_bev(VIEW, points=np.array([[*xy, 1.0]]))
    where = changed(picture, empty)
    assert where.sum() == 1 and where[row, column].sum() == 1


def test_a_map_cell_ahead_left_is_painted_up_left_in_its_colour():
    layers = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), np.float32)
    centres = NUSCENES_MAP_GRID.centres()
    block = (np.abs(centres[..., 0] - 20) < 4) & (np.abs(centres[..., 1] - 10) < 4)
    layers[MAP_CLASSES.index('stop_line'), block] = 1.0
    picture = draw_map(VIEW, layers)
    u, v = np.round(VIEW.pixels(np.array([20.0, 10.0]))).astype(int)
    assert (u < VIEW.width / 2) and (v < VIEW.height / 2)
    assert tuple(picture[v, u]) == MAP_COLOURS['stop_line']
    mirrored = np.round(VIEW.pixels(np.array([20.0, -10.0]))).astype(int)
    assert tuple(picture[mirrored[1], mirrored[0]]) == BACKGROUND


def test_a_doubtful_map_cell_is_fainter_than_a_sure_one():
    layers = np.zeros((len(MAP_CLASSES), *NUSCENES_MAP_GRID.shape), np.float32)
    levels = []
    for probability in (0.2, 0.5, 0.9):
        layers[0] = probability
        levels.append(int(draw_map(VIEW, layers)[200, 200].sum()))
    assert levels[0] == sum(BACKGROUND) and levels[0] < levels[1] < levels[2]


def test_a_bev_box_has_its_corners_in_class_colour_and_its_heading_ahead_of_its_centre():
    box = np.array([[20.0, 8.0, 0.0, 6.0, 3.0, 2.0, np.pi / 2, 0.0, 0.0]])  # looks to the left
    picture = draw_bev(VIEW, boxes=box, labels=CAR_LABEL)
    for corner in box_corners(box)[0, :4, :2]:
        u, v = np.round(VIEW.pixels(corner)).astype(int)
        assert any(
            looks_like(p, class_colour('car'))
            for p in picture[v - 1 : v + 2, u - 1 : u + 2].reshape(-1, 3)
        )
    heading, tail = (
        np.round(VIEW.pixels(box[0, :2] + [0, side])).astype(int) for side in (1.5, -1.5)
    )
    assert looks_like(picture[heading[1], heading[0]], class_colour('car'))
    assert not looks_like(picture[tail[1], tail[0]], class_colour('car'))


def test_truth_outlines_and_detections_are_told_apart():
    box = np.array([[20.0, 8.0, 0.0, 6.0, 3.0, 2.0, 0.0, 0.0, 0.0]])
    truth, found = draw_bev(VIEW, truth=box), draw_bev(VIEW, boxes=box, labels=CAR_LABEL)
    base = draw_bev(VIEW)
    assert changed(truth, base).any() and changed(found, base).any()
    assert truth[changed(truth, base)][:, 2].mean() > found[changed(found, base)][:, 2].mean()


# --------------------------------------------------------------------------------- the panel
def reports_with(state: SensorState, name: str):
    names = PanelLayout().camera_order
    return [
        SensorReport(
            n,
            SensorKind.CAMERA,
            state if n == name else SensorState.OK,
            used=n != name or state == SensorState.OK,
            age_ns=0,
        )
        for n in names
    ]


def grey_images():
    return {name: np.full((90, 160, 3), 128, np.uint8) for name in PanelLayout().camera_order}


def tile_of(panel, index, layout):
    top = layout.banner_height + index // 3 * layout.tile_height
    left = index % 3 * layout.tile_width
    return panel[top : top + layout.tile_height, left : left + layout.tile_width]


@pytest.mark.parametrize(
    'layout', [PanelLayout(), PanelLayout(tile_aspect=2.75), PanelLayout(1920, 1080, 78, 768)]
)
def test_a_panel_has_its_layouts_even_size_whatever_is_missing(layout):
    bev = np.zeros((50, 30, 3), np.uint8)
    for images in ({}, grey_images(), dict.fromkeys(layout.camera_order)):
        panel = compose_panel(images, bev, Modality.NONE, layout=layout)
        assert panel.shape == (layout.height, layout.width, 3) and panel.dtype == np.uint8
        assert panel.shape[0] % 2 == panel.shape[1] % 2 == 0


def test_an_odd_panel_size_is_refused():
    with pytest.raises(ConfigError, match='even'):
        PanelLayout(width=1281)


def test_a_missing_camera_is_a_red_tile_and_the_others_stay_as_they_were():
    layout, bev = PanelLayout(), np.zeros((668, 512, 3), np.uint8)
    whole = compose_panel(grey_images(), bev, Modality.FUSED)
    partial = compose_panel({**grey_images(), 'CAM_BACK_LEFT': None}, bev, Modality.FUSED)
    index = layout.camera_order.index('CAM_BACK_LEFT')
    assert changed(tile_of(partial, index, layout), tile_of(whole, index, layout)).mean() > 0.9
    mean = tile_of(partial, index, layout).reshape(-1, 3).mean(axis=0)
    assert mean[0] > 1.5 * mean[1]
    for other in set(range(6)) - {index}:
        np.testing.assert_array_equal(
            tile_of(partial, other, layout), tile_of(whole, other, layout)
        )


def test_a_black_image_is_not_shown_as_missing():
    bev = np.zeros((668, 512, 3), np.uint8)
    images = {**grey_images(), 'CAM_FRONT': np.zeros((90, 160, 3), np.uint8)}
    black_tile = tile_of(compose_panel(images, bev, Modality.FUSED), 1, PanelLayout())
    missing = tile_of(
        compose_panel({**images, 'CAM_FRONT': None}, bev, Modality.FUSED), 1, PanelLayout()
    )
    assert black_tile[60:100, 60:200].mean() < 5 < missing[60:100, 60:200].mean()


def test_cameras_stand_in_their_places_left_to_right_front_row_first():
    layout = PanelLayout()
    images = {
        name: np.full((90, 160, 3), 30 * i + 40, np.uint8)
        for i, name in enumerate(layout.camera_order)
    }
    shuffled = dict(reversed(images.items()))
    panel = compose_panel(shuffled, np.zeros((668, 512, 3), np.uint8), Modality.FUSED)
    middles = [int(tile_of(panel, i, layout)[100, 128, 0]) for i in range(6)]
    assert middles == [30 * i + 40 for i in range(6)]


def test_a_frozen_camera_is_framed_in_its_states_colour():
    layout, bev = PanelLayout(), np.zeros((668, 512, 3), np.uint8)
    panel = compose_panel(
        grey_images(), bev, Modality.FUSED, reports_with(SensorState.FROZEN, 'CAM_FRONT')
    )
    assert tuple(tile_of(panel, 1, layout)[-1, 100]) == STATE_COLOURS[SensorState.FROZEN]
    assert tuple(tile_of(panel, 0, layout)[-1, 100]) == STATE_COLOURS[SensorState.OK]


@pytest.mark.parametrize('modality', list(Modality))
def test_the_banner_shows_the_modality_in_its_colour(modality):
    banner = draw_banner(1280, 52, modality)
    assert banner.shape == (52, 1280, 3)
    assert tuple(banner[2, 2]) == MODALITY_COLOURS[modality]


def test_a_sensor_that_is_not_used_has_an_outlined_chip():
    used = draw_banner(1280, 52, Modality.FUSED, reports_with(SensorState.OK, 'CAM_FRONT'))
    lost = draw_banner(1280, 52, Modality.FUSED, reports_with(SensorState.STALE, 'CAM_FRONT'))
    count = [
        (np.abs(b.astype(int) - STATE_COLOURS[SensorState.OK]).max(axis=2) < 3).sum()
        for b in (used, lost)
    ]
    assert count[1] < 0.9 * count[0]
    red = np.abs(lost.astype(int) - STATE_COLOURS[SensorState.STALE]).max(axis=2) < 3
    assert 50 < red.sum() < count[0] / 6


# ------------------------------------------------------------------------------- real sensors
def test_boxes_of_a_real_keyframe_lie_on_their_lidar_points_in_the_picture(shared_data):
    folder = shared_data / 'nuscenes_keyframe'
    info = pickle.loads(next(folder.glob('*.pkl')).read_bytes())['data_list'][0]
    ego_from_lidar = np.array(info['lidar_points']['lidar2ego'])
    points = np.fromfile(folder / info['lidar_points']['lidar_path'], np.float32).reshape(-1, 5)
    camera = info['images']['CAM_BACK']
    calibration = CameraCalibration(
        1600, 900, np.array(camera['cam2img']), np.array(camera['cam2ego'])
    )
    image = cv2.imread(str(folder / camera['img_path']))[..., ::-1]
    seen = 0
    for instance in info['instances']:
        box = np.array(instance['bbox_3d'])
        inside = points[points_in_box(points, box), :3].astype(float)
        heading = ego_from_lidar[:3, :3] @ [np.cos(box[6]), np.sin(box[6]), 0]
        box[:3] = transform_points(ego_from_lidar, box[:3])
        box[6] = np.arctan2(heading[1], heading[0])
        picture = draw_boxes_on_image(
            image, box[None], CAR_LABEL, None, calibration, with_text=False
        )
        rows, columns = np.nonzero((picture != image).any(axis=2))
        camera_points = transform_points(
            inverse_rigid(calibration.ego_from_camera), transform_points(ego_from_lidar, inside)
        )
        pixels, depth = project_points(calibration.intrinsics, camera_points)
        if len(inside) < 10 or len(rows) == 0 or (depth < 1).any():
            continue
        in_image = (pixels > 0).all(axis=1) & (pixels < [1600, 900]).all(axis=1)
        frame = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
        hit = ((pixels >= frame[0] - 3) & (pixels <= frame[1] + 3)).all(axis=1)
        assert hit[in_image].all()
        seen += in_image.any()
    assert seen >= 5


def test_the_sensor_panel_has_a_row_for_each_sensor_and_one_size_whatever_happens():
    reports = reports_with(SensorState.OK, 'CAM_FRONT')
    well = draw_sensor_panel(Modality.FUSED, reports, 'all sensors are well')
    lost = draw_sensor_panel(
        Modality.LIDAR, reports_with(SensorState.STALE, 'CAM_FRONT'), 'CAM_FRONT STALE' * 40
    )
    assert well.shape == lost.shape
    rows = np.flatnonzero(changed(well, lost).any(axis=1))
    table = len(well) - 26 * len(reports)
    assert table == 48 and rows.min() < table
    below = rows[rows >= table] - table
    assert set(below // 26) == {[r.name for r in reports].index('CAM_FRONT')}
    other = draw_sensor_panel(Modality.FUSED, reports, 'one sensor is late')
    assert changed(well, other)[:table].any() and not changed(well, other)[table:].any()
    assert draw_sensor_panel(Modality.NONE, (), '').shape[1] == well.shape[1]
