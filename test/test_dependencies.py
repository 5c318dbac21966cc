"""What the package imports, what is pinned, what is installed and what is written down agree."""

from __future__ import annotations

import ast
import sys
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

# Given by a ROS distribution or by NVIDIA, not by PyPI; optional ones are imported where used.
NOT_FROM_PYPI = {
    'tensorrt',
    'tensorrt_rtx',
    'ament_index_python',
    'launch',
    'launch_ros',
    'message_filters',
    'sensor_msgs_py',
    'cv_bridge',
    'metabev_ros',
    '_typeshed',  # of the type checker; never imported at run time
}
OPTIONAL = {'ray'}


def pins(repo_root, *names: str) -> dict[str, Requirement]:
    """Requirements of these files that hold for this interpreter, by name."""
    found = {}
    for name in names:
        for line in (repo_root / 'requirements' / f'{name}.txt').read_text().splitlines():
            text = line.partition('#')[0].strip()
            if text:
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate():
                    found[requirement.name.lower().replace('_', '-')] = requirement
    return found


def test_every_requirement_names_one_exact_version(repo_root):
    for path in sorted((repo_root / 'requirements').glob('*.txt')):
        for requirement in pins(repo_root, path.stem).values():
            (specifier,) = requirement.specifier
            assert specifier.operator == '==' and '*' not in specifier.version, requirement


def test_what_the_live_node_needs_is_part_of_what_the_commands_need(repo_root):
    node, commands = pins(repo_root, 'node'), pins(repo_root, 'distribution')
    assert {'rosbags', 'onnxruntime', 'numpy'} == set(node)
    assert {name: str(commands[name]) for name in node} == {n: str(r) for n, r in node.items()}


@pytest.mark.parametrize('name', ['installer', 'train', 'datasets', 'dev', 'docs'])
def test_what_is_installed_is_what_is_pinned(repo_root, name):
    for package, requirement in pins(repo_root, name).items():
        installed = metadata.version(package).partition('+')[0]
        assert requirement.specifier.contains(installed), f'{requirement}, installed {installed}'


def imported(path) -> set[str]:
    """Top-level modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or '').partition('.')[0])
    return found


def test_every_package_that_is_imported_is_pinned(repo_root):
    owners = metadata.packages_distributions()
    sets = [path.stem for path in (repo_root / 'requirements').glob('*.txt')]
    known = set(pins(repo_root, *sets))
    files = (repo_root / 'metabev_ros').rglob('*.py')
    modules = set().union(*(imported(path) for path in files))
    for module in sorted(modules - set(sys.stdlib_module_names) - NOT_FROM_PYPI - OPTIONAL):
        distributions = {name.lower().replace('_', '-') for name in owners.get(module, [])}
        is_ros = module.endswith('_msgs') or module.startswith(('rclpy', 'rcl_', 'rosidl'))
        assert distributions & known or is_ros, f'{module}: in no file of requirements/'


def test_every_pinned_package_is_explained(repo_root):
    text = (repo_root / 'docs/dependencies.md').read_text().lower()
    for name in ('installer', 'run', 'train', 'datasets', 'dev', 'docs', 'audit'):
        for package in pins(repo_root, name):
            assert package in text, f'{package} of requirements/{name}.txt: not in dependencies.md'


def test_nothing_that_is_installed_has_a_weakness_that_is_written_down(repo_root):
    known = yaml.safe_load((repo_root / 'requirements/weaknesses.yaml').read_text())
    assert {'pip', 'torch', 'onnx', 'pillow'} <= {entry['package'] for entry in known}
    for entry in known:
        installed = Version(metadata.version(entry['package']))
        assert installed >= Version(entry['fixed_in']), f'{installed} of {entry}'
