"""Modules of the package and their imports, read from the sources."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = 'metabev_ros'


def imported_modules(tree: ast.AST, module: str, is_package: bool) -> list[tuple[int, str]]:
    """Line and absolute name of all that a module imports, also inside functions."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = module.split('.')
                keep = len(parts) - node.level + (1 if is_package else 0)
                base = '.'.join([*parts[:keep], *([base] if base else [])])
            # `from metabev_ros import errors` imports a module; other names are harmless here.
            found += [(node.lineno, f'{base}.{alias.name}') for alias in node.names]
    return found


def package_modules(root: Path) -> dict[str, Path]:
    """All modules of the package, by their dotted name."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob('*.py')):
        parts = list(path.relative_to(root).with_suffix('').parts)
        modules['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return modules
