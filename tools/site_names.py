"""Entries of docstrings that name several things at once, for the reference of the site.

griffe takes `a, b: text` for a name `a,` of type `b`; spaces that do not break keep it one name.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SEVERAL = re.compile(r'^( {4})(\w+(?:, \w+)+)(?=: )', re.M)


class SeveralNames(griffe.Extension):
    """Joins the names of one entry."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = _SEVERAL.sub(
                lambda found: found[1] + found[2].replace(' ', '\N{NO-BREAK SPACE}'),
                obj.docstring.value,
            )
