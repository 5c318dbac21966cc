"""Write config/perception.param.yaml and docs/parameters.md from metabev_ros/config/node.py.

    .venv/bin/metabev-env python tools/parameter_docs.py

A test compares both files with the fields they are made from.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from metabev_ros.config import NodeConfig, Parameter, parameters_of

ROOT = Path(__file__).resolve().parent.parent
COMMAND = '.venv/bin/metabev-env python tools/parameter_docs.py'
COLUMNS = 99
FILE_HEAD = f"""\
# Parameters of the perception node with their defaults. A wrong value stops start-up. Those marked
# (run time) may be changed with `ros2 param set` too; the others with a new start.
# Made from metabev_ros/config/node.py by `{COMMAND}`.
/**:
  ros__parameters:
"""
PAGE_HEAD = f"""\
# Parameters

The parameters of the perception node. A wrong type, a value out of range, a misspelt name, an
unreadable rig or model stops start-up with exit code 2 and one line that says where, what was
expected, what came and what to do. `config/perception.param.yaml` holds the defaults.
`use_sim_time`, which every ROS node has, lets stamps and deadlines follow `/clock`.

Those with **run time** can be changed while the node runs, with `ros2 param set`. A wrong value is
refused with its reason, parameters that are set together (`set_parameters_atomically`) are taken
or refused together, and every output is made by one set. `settings` in ~/status names what is not
as shipped. All others are read-only.

Made from `metabev_ros/config/node.py` by `{COMMAND}`.

| name | default | value | unit | change | meaning |
|---|---|---|---|---|---|
"""


def file_text(parameters: tuple[Parameter, ...]) -> str:
    """Text of the parameter file: above each default its meaning, range and unit."""
    text, last_group = FILE_HEAD, ''
    for parameter in parameters:
        group, _, name = parameter.name.rpartition('.')
        if group != last_group:
            text += f'    {group}:\n'
            last_group = group
        indent = ' ' * (6 if group else 4)
        limits = f' ({f"{parameter.range} {parameter.unit}".strip()})' if parameter.range else ''
        limits += f' ({parameter.expected})' if parameter.choices else ''
        limits += ' (run time)' if parameter.is_live else ''
        mark = f'{indent}# '
        comment = textwrap.fill(
            parameter.text + limits, COLUMNS, initial_indent=mark, subsequent_indent=mark
        )
        text += f'{comment}\n{indent}{name}: {json.dumps(parameter.default)}\n'
    return text


def page_text(parameters: tuple[Parameter, ...]) -> str:
    """Text of the page: a row for each parameter."""
    return PAGE_HEAD + ''.join(
        f'| `{p.name}` | `{json.dumps(p.default)}` | {p.expected} | {p.unit} '
        f'| {"**run time**" if p.is_live else "start"} | {p.text} |\n'
        for p in parameters
    )


def texts() -> dict[str, str]:
    """Path in the checkout -> text of what is made."""
    parameters = tuple(parameters_of(NodeConfig))
    return {
        'config/perception.param.yaml': file_text(parameters),
        'docs/parameters.md': page_text(parameters),
    }


if __name__ == '__main__':
    for path, text in texts().items():
        (ROOT / path).write_text(text, encoding='utf-8')
