"""Guards of the package, and how each is switched off: the entries of benchmark/guards.yaml.

A guard is an expression in a named function. Expressions are compared as syntax trees, so line
breaks, quotes and comments do not matter, and a function may move within its file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class AnchorError(Exception):
    """A guard that is not where its entry says, or not only there."""


@dataclass(frozen=True)
class Guard:
    """One mutant.

    Attributes:
        id: what the guard keeps out.
        file: below metabev_ros/.
        function: qualified name ('Class.method') of the function, or of a class or a name that
            the module assigns.
        code: the expression to replace; it occurs once in the function. Behind 'if ' it is the
            whole condition of an `if`.
        instead: the expression that switches the guard off.
        tests: file of the tests that must fail then.
        rows: their names, as pytest's `-k` takes them.
    """

    id: str
    file: str
    function: str
    code: str
    instead: str
    tests: str
    rows: str

    def mutate(self, source: str) -> str:
        """The source of the file with the guard switched off; all other text is kept.

        Raises:
            AnchorError: the function or the expression is not there once.
        """
        nodes = list(ast.walk(self._scope(ast.parse(source))))
        places = [node for node in nodes if isinstance(node, ast.expr)]
        if self.code.startswith('if '):
            places = [node.test for node in nodes if isinstance(node, ast.If)]
        wanted = ast.unparse(ast.parse(self.code.removeprefix('if '), mode='eval'))
        found = [node for node in places if ast.unparse(node) == wanted]
        if len(found) != 1:
            raise self._error(f'`{self.code}` once in {self.function}', f'{len(found)} times')
        begin, end = _span(source, found[0])
        text = source.encode()
        return (text[:begin] + f'({self.instead})'.encode() + text[end:]).decode()

    def _scope(self, tree: ast.Module) -> Scope:
        found = [node for name, node in scopes(tree) if name == self.function]
        if len(found) != 1:
            raise self._error(f'one definition of {self.function}', str(len(found)))
        return found[0]

    def _error(self, expected: str, got: str) -> AnchorError:
        return AnchorError(
            f'guard {self.id!r}: expected {expected} in metabev_ros/{self.file}, got {got}; '
            'if the guard has moved, correct its entry in benchmark/guards.yaml'
        )


def scopes(tree: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[tuple[str, Scope]]:
    """Qualified name and node of all functions, classes and assigned names outside functions."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield node.name, node
            for name, inner in scopes(node):
                yield f'{node.name}.{name}', inner
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield ast.unparse(target), node


def _span(source: str, node: ast.expr) -> tuple[int, int]:
    """First and end byte of a node in the encoded source."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return (
        starts[node.lineno - 1] + node.col_offset,
        starts[node.end_lineno - 1] + node.end_col_offset,
    )


def read_guards(path: Path) -> list[Guard]:
    """All entries of benchmark/guards.yaml.

    Raises:
        AnchorError: two entries have one id.
    """
    guards = [Guard(**entry) for entry in yaml.safe_load(path.read_text(encoding='utf-8'))]
    ids = [guard.id for guard in guards]
    for name in ids:
        if ids.count(name) > 1:
            raise AnchorError(f'guard {name!r} is listed twice: give each entry an id of its own')
    return guards
