"""No modules of the package import each other in a circle."""

from __future__ import annotations

import ast

import pytest
from support.source_tree import PACKAGE, imported_modules, package_modules


def import_graph(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """What every module imports of the others, also inside functions and TYPE_CHECKING.

    Args:
        sources: module -> (its text, whether it is a package).
    """
    graph = {}
    for module, (source, is_package) in sources.items():
        names = [name for _, name in imported_modules(ast.parse(source), module, is_package)]
        # `from a.b import c` names the module a.b.c, or c in the module a.b.
        found = {n if n in sources else n.rpartition('.')[0] for n in names}
        graph[module] = (found & sources.keys()) - {module}
    return graph


def import_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of modules that import each other; empty if there is none."""
    left = dict(graph)
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]
    if not left:
        return []
    path = [min(left)]
    while path[-1] not in path[:-1]:
        path.append(min(left[path[-1]] & left.keys()))
    return path[path.index(path[-1]) :]


def test_no_modules_import_each_other_in_a_circle(repo_root):
    graph = import_graph(
        {
            module: (path.read_text(), path.name == '__init__.py')
            for module, path in package_modules(repo_root).items()
        }
    )
    assert sum(map(len, graph.values())) > len(graph)  # it sees imports at all
    cycle = import_cycle(graph)
    assert not cycle, ' imports '.join(cycle)


@pytest.mark.parametrize(
    'back',
    [
        'import {package}.config',
        'from {package} import config',
        'from {package}.config import RigConfig',
        'from . import config',
        'def f():\n    from {package}.config import RigConfig',
        'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {package}.config',
    ],
)
def test_a_planted_circle_is_found(back):
    sources = {
        f'{PACKAGE}.config': (f'from {PACKAGE}.structures import Modality', True),
        f'{PACKAGE}.structures': (f'from {PACKAGE}.geometry import BevGrid', False),
        f'{PACKAGE}.geometry': ('', False),
    }
    assert not import_cycle(import_graph(sources))
    sources[f'{PACKAGE}.geometry'] = (back.format(package=PACKAGE), False)
    members = {f'{PACKAGE}.{name}' for name in ('config', 'structures', 'geometry')}
    assert set(import_cycle(import_graph(sources))) == members
