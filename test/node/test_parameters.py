"""Declared parameters agree with the configuration, the shipped file and the documentation."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from metabev_ros.config import SensingConfig
from metabev_ros.errors import ConfigError
from metabev_ros.resources import resource_path

pytestmark = pytest.mark.ros


def flat(tree: dict, prefix: str = '') -> dict:
    """Nested parameters with dotted names."""
    values = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        values.update(flat(value, f'{prefix}{name}.') if nested else {f'{prefix}{name}': value})
    return values


def test_the_shipped_file_names_every_parameter_with_its_default():
    from metabev_ros.node.parameters import SPECS

    text = resource_path('config/perception.param.yaml').read_text()
    shipped = flat(yaml.safe_load(text)['/**']['ros__parameters'])
    assert shipped == {spec.name: spec.default for spec in SPECS}
    assert {name: type(value) for name, value in shipped.items()} == {
        spec.name: type(spec.default) for spec in SPECS
    }


def test_every_sensing_field_is_a_parameter_whose_range_the_configuration_accepts():
    from metabev_ros.node.parameters import SPECS

    specs = {spec.name: spec for spec in SPECS}
    for item in dataclasses.fields(SensingConfig):
        spec = specs[f'sensing.{item.name}']
        assert spec.low <= spec.default <= spec.high
        for value in (spec.low, spec.high):
            SensingConfig(**{item.name: type(spec.default)(value)})


def test_row_097_098_every_descriptor_has_a_description_and_is_read_only():
    from metabev_ros.node.parameters import SPECS

    for spec in SPECS:
        descriptor = spec.descriptor
        assert descriptor.read_only and len(descriptor.description) > 5
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert len(ranges) == (spec.low is not None)


def test_every_parameter_and_output_is_documented(repo_root):
    from metabev_ros import wire
    from metabev_ros.node.parameters import SPECS

    text = (repo_root / 'docs/topics_and_parameters.md').read_text()
    for spec in SPECS:
        assert f'| `{spec.name}` |' in text
    for topic in wire.OUTPUT_TYPES:
        assert f'`{topic if topic.startswith("/") else "~/" + topic}`' in text


def test_a_model_is_a_folder_or_the_name_of_a_shipped_one(tmp_path):
    from metabev_ros.node.parameters import model_folder

    assert model_folder(str(tmp_path)) == tmp_path
    for name in ('nobody', '/does/not/exist', 'x' * 5000, 'a\0b'):
        with pytest.raises(ConfigError, match='parameter model'):
            model_folder(name)
