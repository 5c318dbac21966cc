"""The official splits of nuScenes, as numbers of scenes; a test holds them against the devkit."""

from __future__ import annotations

from pathlib import Path

from metabev_ros.errors import ConfigError, clean_text

# Of the 850 scenes of v1.0-trainval these 150 are `val`, and the other 700 `train`.
_VAL = (
    '3,12-18,35-36,38-39,92-110,221,268-278,329-332,344-346,519-524,552-565,625-627,629-630,'
    '632-638,770-771,775,777-778,780-784,794-800,802,904-917,919-931,962-963,966-969,971-972,'
    '1059-1073'
)
_MINI_TRAIN = '61,553,655,757,796,1077,1094,1100'
_MINI_VAL = '103,916'
SPLITS = {  # split -> the version that it is a part of
    'train': 'trainval',
    'val': 'trainval',
    'mini_train': 'mini',
    'mini_val': 'mini',
}
_FILE_LIMIT = 1 << 20  # bytes


def _scenes(numbers: str) -> frozenset[str]:
    """Names of scenes by numbers and ranges of numbers."""
    names: set[str] = set()
    for part in numbers.split(','):
        first, _, last = part.partition('-')
        names.update(f'scene-{i:04}' for i in range(int(first), int(last or first) + 1))
    return frozenset(names)


def scenes_of_split(split: str, version: str, known: list[str]) -> list[str]:
    """Those of the known scenes that are in a split, in their order.

    Args:
        split: a key of SPLITS, or the path of a text file with the name of a scene in each line.

    Raises:
        ConfigError: for a split of another version, for names in a file that are not known, and
            for a split without scenes.
    """
    if split not in SPLITS:
        return _scenes_of_file(Path(split), known)
    if not version.endswith(SPLITS[split]):
        fitting = [name for name, part in SPLITS.items() if version.endswith(part)]
        raise ConfigError(
            f'split {split}',
            f'version v1.0-{SPLITS[split]}',
            version,
            f'take one of {fitting}, or none' if fitting else 'name a file of scenes, or none',
        )
    if split == 'train':
        chosen = [name for name in known if name not in _scenes(_VAL)]
    else:
        wanted = _scenes({'val': _VAL, 'mini_train': _MINI_TRAIN, 'mini_val': _MINI_VAL}[split])
        chosen = [name for name in known if name in wanted]
    if not chosen:
        raise ConfigError(f'split {split}', 'scenes of it', f'none of {known[:3]} is in it')
    return chosen


def _scenes_of_file(path: Path, known: list[str]) -> list[str]:
    shown = clean_text(path, 300)
    try:
        with open(path, encoding='utf-8') as file:
            lines = file.read(_FILE_LIMIT + 1).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(
            'split', f'one of {sorted(SPLITS)}, or a file with names of scenes', repr(shown)
        ) from error
    wanted = {line.strip() for line in lines if line.strip()}
    if unknown := sorted(wanted - set(known)):
        got = f'{len(unknown)} others, the first {clean_text(repr(unknown[0]))}'
        raise ConfigError(shown, f'names of scenes like {known[0]}, one a line', got)
    if not wanted:
        raise ConfigError(shown, 'names of scenes, one a line', 'none')
    return [name for name in known if name in wanted]
