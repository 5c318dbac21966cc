"""The package's own files are found from a checkout and from every kind of install tree."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.resources import DEFAULT_MODEL, FOLDERS, resource_path, resource_root


def _install(prefix: Path, site: str) -> Path:
    """Makes the install tree that pip or colcon would make; returns the package folder."""
    package_dir = prefix / site / 'metabev_ros'
    package_dir.mkdir(parents=True)
    share = prefix / 'share' / 'metabev_ros'
    share.mkdir(parents=True)
    (share / 'package.xml').write_text('<package/>')
    return package_dir


def test_the_rig_and_the_messages_are_found_in_the_checkout(repo_root):
    assert resource_path('config/rigs/nuscenes_like.yaml') == (
        repo_root / 'config/rigs/nuscenes_like.yaml'
    )
    assert {p.name for p in resource_path('msg').glob('*.msg')} >= {
        'DetectionArray.msg',
        'BevMap.msg',
        'PerceptionStatus.msg',
    }


@pytest.mark.parametrize(
    'site',
    [
        'lib/python3.11/site-packages',  # virtual environment, colcon
        'local/lib/python3.10/dist-packages',  # colcon on Ubuntu 22.04
        'lib/python3/dist-packages',  # Debian package
    ],
)
def test_an_install_tree_is_found_from_the_package_folder(tmp_path, site):
    package_dir = _install(tmp_path / 'prefix', site)
    assert resource_root(package_dir) == tmp_path / 'prefix/share/metabev_ros'


def test_the_nearest_prefix_wins_over_one_further_out(tmp_path):
    _install(tmp_path, 'lib/python3.11/site-packages')
    inner = _install(tmp_path / 'overlay', 'lib/python3.11/site-packages')
    assert resource_root(inner) == tmp_path / 'overlay/share/metabev_ros'


def test_a_package_without_its_files_says_what_was_expected(tmp_path):
    with pytest.raises(ConfigError, match=r'share/metabev_ros/package\.xml.*install the package'):
        resource_root(tmp_path / 'lib/python3.11/site-packages/metabev_ros')


def test_a_name_that_does_not_exist_lists_what_does():
    with pytest.raises(ConfigError, match=r'nuscenes_like\.yaml'):
        resource_path('config/rigs/no_such_rig.yaml')


@pytest.mark.parametrize('name', ['', '../setup.py', 'config/../setup.py', '/etc/passwd', 'test'])
def test_a_name_outside_the_installed_folders_is_refused(name):
    with pytest.raises(ConfigError, match='relative path'):
        resource_path(name)


def test_cmake_and_setup_py_install_the_folders_that_are_looked_up(repo_root):
    cmake = (repo_root / 'CMakeLists.txt').read_text()
    setup = (repo_root / 'setup.py').read_text()
    by_cmake = re.search(r'install\(DIRECTORY ([^)]*?) DESTINATION share/', cmake)[1].split()
    by_pip = re.findall(r"'(\w+)'", re.search(r'FOLDERS = \((.*?)\)', setup)[1])
    assert set(by_cmake) | {'msg'} == set(FOLDERS)  # rosidl_generate_interfaces installs msg/
    assert set(by_pip) == set(FOLDERS)


def test_every_message_file_is_generated(repo_root):
    cmake = (repo_root / 'CMakeLists.txt').read_text()
    missing = [p.name for p in (repo_root / 'msg').glob('*.msg') if f'msg/{p.name}' not in cmake]
    assert not missing


def test_the_command_line_states_the_version_of_package_xml(repo_root):
    from typer.testing import CliRunner

    from metabev_ros.cli import app

    stated = re.search('<version>(.*)</version>', (repo_root / 'package.xml').read_text()).group(1)
    done = CliRunner().invoke(app, ['--version'])
    assert done.exit_code == 0 and done.output.strip() == f'metabev {stated}'


def test_the_default_model_is_installed(repo_root):
    name = Path(DEFAULT_MODEL).name
    [left_out] = re.findall(r'^NOT_INSTALLED = (.*)$', (repo_root / 'setup.py').read_text(), re.M)
    assert not name.startswith(ast.literal_eval(left_out))
    patterns = re.findall(r'PATTERN (\S+) EXCLUDE', (repo_root / 'CMakeLists.txt').read_text())
    assert patterns and not any(fnmatch(name, pattern) for pattern in patterns)
