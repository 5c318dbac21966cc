"""One definition of each parameter: ROS, the shipped file and the documentation follow from it."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from metabev_ros import wire
from metabev_ros.config import (
    DetectionsConfig,
    InferenceConfig,
    MarkersConfig,
    NodeConfig,
    Parameter,
    SensingConfig,
    TrackingConfig,
    parameters_of,
)
from metabev_ros.errors import ConfigError

PARAMETERS = tuple(parameters_of(NodeConfig))
GROUPS = {
    'inference': InferenceConfig,
    'sensing': SensingConfig,
    'tracking': TrackingConfig,
    'detections': DetectionsConfig,
    'markers': MarkersConfig,
    '': NodeConfig,
}
LIVE = {
    'heartbeat_rate',
    'detections.scores',
    'detections.nms_scale',
    'markers.min_score',
    'markers.lifetime',
    'markers.text',
}
RANGED = [parameter for parameter in PARAMETERS if parameter.within is not None]


def flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested parameters with dotted names."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        values.update(flat(value, f'{prefix}{name}.') if nested else {f'{prefix}{name}': value})
    return values


def configured(parameter: Parameter, value: float) -> object:
    """The dataclass of a parameter with this value."""
    group, _, name = parameter.name.rpartition('.')
    longest = {'hang_limit': 600.0} if name == 'time_limit' else {}
    shortest = {'time_limit': 0.01} if name == 'hang_limit' else {}
    return GROUPS[group](**{name: value, **longest, **shortest})


def test_the_parameter_file_and_the_page_are_made_from_the_fields(repo_root: Path) -> None:
    tool = runpy.run_path(str(repo_root / 'tools/parameter_docs.py'))
    for path, text in tool['texts']().items():
        assert (repo_root / path).read_text() == text, f'{path}: run {tool["COMMAND"]}'


def test_the_shipped_file_names_every_parameter_with_its_default(repo_root: Path) -> None:
    text = (repo_root / 'config/perception.param.yaml').read_text()
    shipped = flat(yaml.safe_load(text)['/**']['ros__parameters'])
    assert shipped == {parameter.name: parameter.default for parameter in PARAMETERS}
    assert {name: type(value) for name, value in shipped.items()} == {
        parameter.name: type(parameter.default) for parameter in PARAMETERS
    }


def test_every_number_has_a_range_and_every_default_is_in_it() -> None:
    for parameter in PARAMETERS:
        is_number = type(parameter.default) in (int, float)
        assert is_number == (parameter.within is not None), parameter.name
    NodeConfig()


@pytest.mark.parametrize('parameter', RANGED, ids=lambda parameter: parameter.name)
def test_the_configuration_accepts_both_ends_of_a_range_and_nothing_beyond(
    parameter: Parameter,
) -> None:
    assert parameter.within is not None
    low, high = parameter.within
    kind = type(parameter.default)
    for value in (low, high):
        configured(parameter, kind(value))
    for value in (low / 2 if low else -1e-6, high * 2, -1, float('nan')):
        with pytest.raises(ConfigError, match=rf'{parameter.name}: expected {low:g}\.\.{high:g}'):
            configured(parameter, value)


@pytest.mark.ros
def test_every_descriptor_has_a_description_and_says_what_is_read_only() -> None:
    from metabev_ros.node.parameters import descriptor

    for parameter in PARAMETERS:
        described = descriptor(parameter)
        assert described.read_only == (parameter.name not in LIVE)
        assert len(described.description) > 5
        ranges = [*described.floating_point_range, *described.integer_range]
        expected = [] if parameter.within is None else [parameter.within]
        assert [(r.from_value, r.to_value) for r in ranges] == expected


def test_every_output_is_documented(repo_root: Path) -> None:
    text = (repo_root / 'docs/topics_and_parameters.md').read_text()
    for topic in (*wire.OUTPUT_TYPES, *wire.standard_outputs()):
        assert f'`{topic if topic.startswith("/") else "~/" + topic}`' in text


@pytest.mark.ros
def test_a_model_is_a_folder_or_the_name_of_a_shipped_one(tmp_path: Path) -> None:
    from metabev_ros.node.parameters import model_folder

    assert model_folder(str(tmp_path)) == tmp_path
    for name in ('nobody', '/does/not/exist', 'x' * 5000, 'a\0b'):
        with pytest.raises(ConfigError, match='parameter model'):
            model_folder(name)
