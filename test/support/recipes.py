"""The recipes of docs/extending.md, and the syntax trees of the places that they name."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
_HEADING = re.compile(r'^## (.+)$', re.MULTILINE)
_STEP = re.compile(r'^\d+\. (`[^`]+`(?:,\s+`[^`]+`)*):', re.MULTILINE)


class Place(NamedTuple):
    """A file of the checkout and a name in it ('' for the file as a whole, `Class.method`)."""

    path: str
    symbol: str = ''

    def __str__(self) -> str:
        return f'{self.path} {self.symbol}'.strip()


def recipes() -> dict[str, list[Place]]:
    """Places of the steps of each recipe, in order, by its title."""
    _, *parts = _HEADING.split((ROOT / 'docs/extending.md').read_text(encoding='utf-8'))
    return dict(zip(parts[::2], map(_places, parts[1::2]), strict=True))


def _places(section: str) -> list[Place]:
    """Read the numbered steps: files, each followed by names in it."""
    found: list[Place] = []
    for step in _STEP.findall(section):
        for name in re.findall('`([^`]+)`', step):
            if '/' in name or (ROOT / name).is_file():
                found.append(Place(name))
            elif found[-1].symbol:
                found.append(Place(found[-1].path, name))
            else:
                found[-1] = Place(found[-1].path, name)
    return found


def exists(place: Place) -> bool:
    """Tell whether a place is there: a file, and a definition of Python or a key of YAML in it."""
    path = ROOT / place.path
    if not place.symbol or not path.is_file():
        return path.is_file()
    if path.suffix == '.py':
        return place.symbol in dict(definitions(place.path))
    return place.symbol in yaml.safe_load(path.read_text(encoding='utf-8'))


def forgotten(recipe: str, problems: list[str]) -> str:
    """Message of a failing test: each problem, and the recipe that ends it."""
    return '\n'.join(['', *problems, f'See the recipe "{recipe}" of docs/extending.md.'])


@functools.cache
def tree_of(path: str) -> ast.Module:
    """The syntax tree of a file of the checkout."""
    return ast.parse((ROOT / path).read_text(encoding='utf-8'))


def modules() -> list[str]:
    """Paths of the package's modules."""
    return [str(p.relative_to(ROOT)) for p in sorted((ROOT / 'metabev_ros').rglob('*.py'))]


def definitions(path: str) -> Iterator[tuple[str, ast.stmt]]:
    """Yield names and statements of a module's functions, classes, methods and tables."""
    for statement in tree_of(path).body:
        if isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                for name in _names(inner):
                    yield f'{statement.name}.{name}', inner
        for name in _names(statement):
            yield name, statement


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.AnnAssign):
        return [ast.unparse(statement.target)]
    if isinstance(statement, ast.Assign):
        return [name for target in statement.targets for name in _targets(target)]
    return []


def _targets(target: ast.expr) -> list[str]:
    if isinstance(target, ast.Tuple):
        return [ast.unparse(item) for item in target.elts]
    return [ast.unparse(target)]


def members_named(enum_name: str) -> dict[Place, set[str]]:
    """Members of an enum that each function and method of the package names."""
    found: dict[Place, set[str]] = {}
    for path in modules():
        for name, statement in definitions(path):
            if isinstance(statement, ast.FunctionDef):
                members = {
                    node.attr
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == enum_name
                }
                if members:
                    found[Place(path, name)] = members
    return found


def words_in(statement: ast.AST) -> set[str]:
    """Texts that a statement holds as constants."""
    return {
        node.value
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def words_of_row_tests() -> set[str]:
    """Texts in all tests that bear the number of a row of the fault matrix."""
    found: set[str] = set()
    for path in (ROOT / 'test').rglob('test_*.py'):
        for name, statement in definitions(str(path.relative_to(ROOT))):
            if name.startswith('test_row_'):
                found |= words_in(statement)
    return found
