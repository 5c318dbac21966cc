"""Paths of the files that are not Python, in a source checkout or in an install tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from metabev_ros.errors import ConfigError

PACKAGE_NAME = 'metabev_ros'
# What everything takes that is not told otherwise.
DEFAULT_RIG = 'config/rigs/nuscenes_like.yaml'
DEFAULT_MODEL = 'models/metabev_nano_streets'
# The folders that are installed, as share/metabev_ros/<folder>.
FOLDERS = ('msg', 'config', 'models', 'launch', 'rviz', 'requirements')


def resource_root(package_dir: Path) -> Path:
    """Finds the folder that holds `msg/`, `config/`, `models/`, ... for a package folder.

    Args:
        package_dir: the folder of the Python package `metabev_ros`.

    Returns:
        The checkout when its `package.xml` stands beside the package; else `share/metabev_ros` of
        the install prefix that the package lies in (`<prefix>/lib/python3.x/site-packages/...`,
        with `local/` and `dist-packages` on Debian: the depth differs, so parents are tried).

    Raises:
        ConfigError: there is neither.
    """
    checkout = package_dir.parent
    if (checkout / 'package.xml').is_file() and (checkout / 'msg').is_dir():
        return checkout
    for prefix in package_dir.parents:
        share = prefix / 'share' / PACKAGE_NAME
        if (share / 'package.xml').is_file():
            return share
    raise ConfigError(
        'resources',
        f'{checkout}/package.xml or <prefix>/share/{PACKAGE_NAME}/package.xml',
        f'neither above {package_dir}',
        'install the package with pip or colcon, or run from a checkout',
    )


def package_version() -> str:
    """The version of this package, as its package.xml states it."""
    root = resource_root(Path(__file__).parent)
    return ElementTree.parse(root / 'package.xml').findtext('version', '')


def resource_path(name: str) -> Path:
    """Path of one of the package's own files or folders.

    Args:
        name: relative path with forward slashes, for example `config/rigs/nuscenes_like.yaml`,
            `models/metabev_nano` or `msg`.

    Raises:
        ConfigError: there is no such file or folder, or the name leaves the package's folders.
    """
    root = resource_root(Path(__file__).parent)
    parts = Path(name).parts
    if not parts or parts[0] not in FOLDERS or '..' in parts:
        raise ConfigError(
            'resources', f'a relative path below one of {", ".join(FOLDERS)}', repr(name)
        )
    path = root / name
    try:
        real, folder, exists = path.resolve(), (root / parts[0]).resolve(), path.exists()
    except (OSError, ValueError) as error:  # too long for a path, or with a NUL
        raise ConfigError(
            'resources',
            'the name of a file or folder',
            f'{name[:64]!r} ({error})'[:200],
            'check the name',
        ) from error
    # Folders only: colcon's --symlink-install links every file of ours to the checkout.
    if path.is_dir() and folder not in (real, *real.parents):
        raise ConfigError(
            'resources',
            f'a folder in {folder}',
            f'{name}, a link to {real}',
            'give the folder itself as a path',
        )
    if not exists:
        folder = path.parent
        found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        raise ConfigError(
            'resources',
            f'{name} in {root}',
            f'a folder with {", ".join(found) or "nothing"}',
            'check the name, or install the package again',
        )
    return path


def model_folder(name: str) -> Path:
    """A model's folder: one that is there, else the package's model of that name.

    Args:
        name: path or name; '' is the default model.

    Raises:
        ConfigError: there is neither.
    """
    return _given(name, DEFAULT_MODEL, 'models/{}', 'model', Path.is_dir)


def rig_file(name: Path | None) -> Path:
    """A rig file: one that is there, else the package's rig of that name.

    Args:
        name: path, or name with or without `.yaml`; None is the default rig.

    Raises:
        ConfigError: there is neither.
    """
    text = str(name or '')
    shipped = 'config/rigs/{}' if text.endswith('.yaml') else 'config/rigs/{}.yaml'
    return _given(text, DEFAULT_RIG, shipped, 'rig', Path.is_file)


def _given(
    name: str, default: str, shipped: str, what: str, is_there: Callable[[Path], bool]
) -> Path:
    if not name:
        return resource_path(default)
    try:
        if is_there(Path(name)):
            return Path(name)
        if len(Path(name).parts) == 1 and name not in ('.', '..'):
            return resource_path(shipped.format(name))
    except (OSError, ValueError):  # too long for a path, or with a NUL
        pass
    except ConfigError as error:
        raise ConfigError(what, 'a path or a name', f'{name[:64]!r}', error.got) from error
    raise ConfigError(what, 'a path or a name', f'{name[:64]!r}, which is not there')
