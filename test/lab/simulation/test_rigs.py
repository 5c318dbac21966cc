"""Rigs that are drawn, and rigs of which one property is fixed."""

from __future__ import annotations

import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.lidar_models import LIDAR_MODELS
from metabev_ros.lab.simulation.records import StreetDrives
from metabev_ros.lab.simulation.rigs import RigForm, TrainingRig, draw_rig


def rig(form: RigForm | None, seed: int = 5) -> TrainingRig:
    return draw_rig(np.random.default_rng(seed), form)


def half_view(rig: TrainingRig, name: str) -> float:
    calibration = rig.cameras[name]
    return float(np.arctan(calibration.width / 2 / calibration.intrinsics[0, 0]))


@pytest.mark.parametrize('count', [4, 5, 6, 8])
def test_a_form_has_as_many_cameras_as_it_says(count: int):
    assert len(rig(RigForm(cameras=count)).cameras) == count


@pytest.mark.parametrize('name', [model.name for model in LIDAR_MODELS])
def test_a_form_has_the_lidar_that_it_names_and_all_else_is_as_drawn(name: str):
    made, middle = rig(RigForm(lidar=name)), rig(RigForm())
    assert made.lidar.model.name == name
    np.testing.assert_array_equal(made.lidar.ego_from_lidar, middle.lidar.ego_from_lidar)
    assert made.own_box == middle.own_box == rig(None).own_box
    for camera, calibration in middle.cameras.items():
        np.testing.assert_array_equal(
            made.cameras[camera].ego_from_camera, calibration.ego_from_camera
        )


def test_a_lift_raises_every_sensor_by_as_much_and_moves_nothing_else():
    middle, high = rig(RigForm()), rig(RigForm(lift=0.8))
    pairs = [(middle.lidar.ego_from_lidar, high.lidar.ego_from_lidar)] + [
        (middle.cameras[name].ego_from_camera, high.cameras[name].ego_from_camera)
        for name in middle.cameras
    ]
    for low, raised in pairs:
        assert raised[2, 3] - low[2, 3] == pytest.approx(0.8)
        np.testing.assert_allclose(raised[:2, 3], low[:2, 3], atol=1e-12)
        np.testing.assert_allclose(raised[:3, :3], low[:3, :3], atol=1e-12)


def test_a_view_is_wider_by_its_factor():
    middle, wide = rig(RigForm()), rig(RigForm(view=1.3))
    for name in middle.cameras:
        assert half_view(wide, name) == pytest.approx(1.3 * half_view(middle, name))


@pytest.mark.parametrize(
    ('field', 'values'),
    [('cameras', {'cameras': 3}), ('lidar', {'lidar': 'none such'}), ('view', {'view': 2.0}),
     ('lift', {'lift': 5.0})],
)  # fmt: skip
def test_a_form_that_cannot_be_built_is_refused(field: str, values: dict[str, object]):
    with pytest.raises(ConfigError, match=f'rig.{field}'):
        RigForm(**values)  # type: ignore[arg-type]


def test_drives_of_other_forms_have_other_folders():
    forms = (None, RigForm(), RigForm(cameras=4), RigForm(lift=0.8), RigForm(view=0.75))
    names = {StreetDrives(form=form).name for form in forms}
    assert len(names) == len(forms)
