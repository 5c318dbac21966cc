"""pip install: the ROS-free core and the `metabev` command. The node comes with colcon."""

from pathlib import Path

from setuptools import find_packages, setup

SHARE = 'share/metabev_ros'
FOLDERS = ('msg', 'config', 'models', 'launch', 'rviz', 'requirements')
# Weights for training and comparison stay in the source tree.
NOT_INSTALLED = ('bevfusion_nano', 'metabev_nano_pretrained')


def data_files() -> list[tuple[str, list[str]]]:
    """Files that metabev_ros/resources.py finds below `<prefix>/share/metabev_ros`."""
    files = [(SHARE, ['package.xml'])]
    for folder in FOLDERS:
        for path in sorted(Path(folder).rglob('*')):
            if path.is_file() and not path.parent.name.startswith(NOT_INSTALLED):
                files.append((f'{SHARE}/{path.parent.as_posix()}', [path.as_posix()]))
    return files


setup(packages=find_packages(include=['metabev_ros', 'metabev_ros.*']), data_files=data_files())
