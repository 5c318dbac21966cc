"""Pictures of a small world: geometry, owners, light and shutter."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.camera_scene import Now, StandIn, box, camera, now, placed

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.synthetic.config import Weather
from metabev_ros.lab.simulation.cameras.light import Light, draw_light
from metabev_ros.lab.simulation.cameras.render import Shot, Shutter, render
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.structures import CameraCalibration, DistortionModel

AHEAD = ((10.0, 0.0, 0.9), (4.0, 1.8, 1.6))


def light_of(weather: Weather, seed: int = 3) -> Light:
    """A light of one weather, with cameras that show colours as they are."""
    light = draw_light(np.random.default_rng(seed), weather)
    plain = replace(
        light.character,
        exposure=1.0,
        white=np.ones(3, np.float32),
        saturation=1.0,
        contrast=1.0,
        blur=0.0,
        noise=0.0,
        vignette=0.0,
        sharpen=0.0,
        quality=95,
        dirt=0,
    )
    return replace(light, character=plain)


def picture(
    scene: StandIn,
    instant: Now,
    view: CameraCalibration,
    light: Light | None = None,
    shutter: Shutter | None = None,
) -> Shot:
    """One picture."""
    light = light or light_of(Weather.OVERCAST)
    shutters = None if shutter is None else [shutter]
    rng = np.random.default_rng(0)
    return render(scene, instant, [view], light, rng, supersampling=2, shutters=shutters)[0]


def test_depth_of_a_level_plane_is_that_of_its_equation() -> None:
    view = camera()
    shot = picture(StandIn(), now(), view)
    v = np.arange(view.height) - view.intrinsics[1, 2]
    expected = 1.5 * view.intrinsics[1, 1] / v[v > 2]
    np.testing.assert_allclose(shot.depth[v > 2, 80], expected, rtol=1e-3)
    assert np.isinf(shot.depth[v < -2]).all()
    assert (shot.owner == -1).all()


def test_owner_and_alone_count_the_pixels_of_a_box() -> None:
    view = camera()
    front = ((6.0, 0.0, 0.8), (1.0, 1.0, 1.0))
    free = picture(StandIn(), now(AHEAD), view)
    hidden = picture(StandIn(), now(AHEAD, front), view)
    assert free.alone[0] == (free.owner == 0).sum() > 200
    assert hidden.alone[0] == free.alone[0]
    assert (hidden.owner == 0).sum() < free.alone[0]
    assert hidden.alone[1] == (hidden.owner == 1).sum()


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    light = draw_light(np.random.default_rng(5), Weather.RAIN)
    shots = [
        render(StandIn(), now(AHEAD), [camera()], light, np.random.default_rng(seed))[0]
        for seed in (1, 1, 2)
    ]
    assert shots[0].pixels.tobytes() == shots[1].pixels.tobytes()
    assert shots[0].pixels.tobytes() != shots[2].pixels.tobytes()


def test_a_shadow_falls_away_from_the_sun() -> None:
    sun = np.array([0.0, 0.8, 0.6], np.float32)  # from the left
    light = replace(light_of(Weather.SUNNY), sun=sun, cover=0.0)
    view = camera()
    shot = picture(StandIn(), now(AHEAD), view, light)
    row = int(view.intrinsics[1, 2] + 1.5 * view.intrinsics[1, 1] / 10)
    left, right = (
        int(view.intrinsics[0, 2] - y * view.intrinsics[0, 0] / 10) for y in (2.2, -2.2)
    )
    assert shot.pixels[row, left].mean() > 1.3 * shot.pixels[row, right].mean()


def test_it_is_dark_under_a_car() -> None:
    view = camera()
    shot = picture(StandIn(), now(((10.0, 0.0, 1.1), (4.0, 1.8, 1.6))), view)
    row = int(view.intrinsics[1, 2] + 1.5 * view.intrinsics[1, 1] / 8.4)
    assert shot.owner[row, 80] == -1
    assert shot.pixels[row, 80].mean() < 0.75 * shot.pixels[row, 20].mean()


def test_night_is_darker_than_day() -> None:
    day, night = (
        picture(StandIn(), now(), camera(), light_of(weather)).pixels.mean()
        for weather in (Weather.SUNNY, Weather.NIGHT)
    )
    assert night < 0.7 * day


def test_a_wet_road_mirrors_what_stands_on_it() -> None:
    dry = replace(light_of(Weather.OVERCAST), wet=0.0, lamps=0.0, cover=1.0)
    wet = replace(dry, wet=1.0)
    scene = StandIn([placed(box(Material.CONCRETE, (255, 30, 30)), (25, 0, 4), (1, 12, 8))])
    view = camera(480, 270, focal=720.0)
    row = int(view.intrinsics[1, 2] + 1.5 * view.intrinsics[1, 1] / 18)
    colours = [
        picture(scene, now(), view, light).pixels[row - 4 : row + 5, 200:280].mean((0, 1))
        for light in (dry, wet)
    ]
    redness = [colour[0] / colour[1] for colour in colours]
    assert redness[1] > 1.15 * redness[0]


@pytest.mark.parametrize(
    ('model', 'distortion'),
    [
        (DistortionModel.PLUMB_BOB, [-0.25, 0.08, 0.001, -0.002, -0.01]),
        (DistortionModel.RATIONAL_POLYNOMIAL, [0.1, -0.05, 0.0, 0.001, 0.01, 0.2, -0.04, 0.0]),
        (DistortionModel.EQUIDISTANT, [-0.02, 0.01, -0.003, 0.0005]),
    ],
)
def test_a_corner_is_where_opencv_projects_it(
    model: DistortionModel, distortion: list[float]
) -> None:
    view = replace(camera(), distortion=np.array(distortion), distortion_model=model)
    shot = picture(StandIn(), now(((8.0, 1.0, 2.0), (2.0, 2.0, 2.0))), view)
    corner = np.array([7.0, 2.0, 3.0])  # near, left, upper
    rotation, position = view.ego_from_camera[:3, :3], view.ego_from_camera[:3, 3]
    optical = (rotation.T @ (corner - position)).reshape(1, 1, 3)
    zero = np.zeros(3)
    project = cv2.fisheye.projectPoints if len(distortion) == 4 else cv2.projectPoints
    if len(distortion) == 4:
        place, _ = project(optical, zero, zero, view.intrinsics, view.distortion)
    else:
        place, _ = project(optical, zero, zero, view.intrinsics, view.distortion)
    u, v = place.reshape(2)
    rows, columns = np.nonzero(shot.owner == 0)
    diagonal = (rows + columns).argmin()
    assert abs(columns[diagonal] - u) <= 1
    assert abs(rows[diagonal] - v) <= 1


def test_a_rolling_shutter_leans_what_passes() -> None:
    passing = now(((10.0, 0.0, 1.5), (0.5, 1.0, 3.0)), velocity=(0.0, 10.0, 0.0))
    view = camera()
    middle = []
    for readout in (0.0, 0.1):
        owner = picture(StandIn(), passing, view, shutter=Shutter(readout=readout)).owner == 0
        rows = np.flatnonzero(owner.any(1))
        top, low = owner[rows[1]], owner[rows[-2]]
        middle.append(np.flatnonzero(low).mean() - np.flatnonzero(top).mean())
    assert -0.6 < middle[0] < 0.6
    assert middle[1] < -3  # it drives to the left: lower rows see it later


def test_a_camera_that_looks_later_sees_from_where_the_ego_is_then() -> None:
    scene = StandIn([placed(box(Material.CONCRETE), (20, 0, 2), (1, 4, 4))], speed=10.0)
    early, late = (
        picture(scene, now(), camera(), shutter=Shutter(lag=lag)).depth[40, 80]
        for lag in (-0.1, 0.1)
    )
    assert early - late == pytest.approx(2.0, abs=0.02)


def test_glass_shows_what_is_behind_it() -> None:
    light = replace(light_of(Weather.OVERCAST), lamps=0.0)
    red = placed(box(Material.CLOTH, (255, 20, 20)), (9, 0, 1.5), (0.2, 3, 3))
    pane = placed(box(Material.CAR_GLASS, (30, 30, 30)), (8, 0, 1.5), (0.02, 3, 3))
    view = camera(480, 270, focal=720.0)
    through = picture(StandIn([red, pane]), now(), view, light).pixels[125:145, 230:250]
    colour = through.mean((0, 1))
    assert colour[0] > 1.5 * colour[1]


def test_shutters_must_be_as_many_as_cameras() -> None:
    with pytest.raises(ConfigError, match='shutters'):
        render(
            StandIn(),
            now(),
            [camera()],
            light_of(Weather.SUNNY),
            np.random.default_rng(0),
            shutters=[],
        )
