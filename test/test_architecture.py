"""The rules of docs/architecture.md, read from the syntax trees of all modules."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from support.source_tree import PACKAGE, imported_modules, package_modules

# From the top: a module imports only from rows below its own; names in one row are siblings.
LAYERS = (
    ('entry',),
    ('cli',),
    ('lab',),
    ('node', 'replay', 'pages'),
    ('pipeline', 'outputs'),
    ('preprocess', 'backends', 'postprocess', 'tracking', 'drawing', 'faults'),
    ('network',),
    ('sensing', 'contract', 'wire', 'bags'),
    (
        'graph_specs',
        'graph_variants',
        'score_calibration',
        'measured_errors',
        'coverage',
        'tracks',
        'doctor',
    ),
    ('config',),
    ('structures', 'resources'),
    ('geometry', 'class_errors', 'files'),
    ('errors',),
)
# Rooms of `lab`, off the vehicle; only `cli` may import it.
LAB_LAYERS = (
    ('fleet',),
    ('what_if',),
    ('demo',),
    ('report',),
    ('export', 'conversion', 'training', 'evaluation', 'rig_check'),
    ('simulation',),
    ('datasets',),
    ('spreading',),
)
# (importer, imported): bags holds messages as wire encodes them.
ALLOWED_SIBLINGS = {('bags', 'wire')}
ROS_MODULES = {
    'rclpy',
    'tf2_ros',
    'tf2_py',
    'message_filters',
    'cv_bridge',
    'sensor_msgs_py',
    'builtin_interfaces',
    'rosidl_runtime_py',
    'launch',
    'launch_ros',
}
VAGUE_NAMES = {'utils', 'util', 'common', 'helpers', 'helper', 'misc', 'tools'}
NUMPY_FILE_FUNCTIONS = {
    'load',
    'save',
    'savez',
    'savez_compressed',
    'loadtxt',
    'savetxt',
    'fromfile',
    'tofile',
    'genfromtxt',
    'memmap',
    'open_memmap',
}
IO_MODULES = {
    'pathlib',
    'io',
    'os',
    'shutil',
    'tempfile',
    'socket',
    'urllib',
    'subprocess',
    'safetensors',
}


def rank_of(room: str) -> int:
    """Row of a room (the module or subpackage right below the package), 0 at the top."""
    for rank, row in enumerate(LAYERS):
        if room in row:
            return rank
    raise AssertionError(f'{room} has no layer: name it in LAYERS and in docs/architecture.md')


def room_of(module: str) -> str:
    """'metabev_ros.sensing.health' -> 'sensing'; '' for the package itself."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else ''


def lab_room_of(module: str) -> str:
    """'metabev_ros.lab.training.step' -> 'training'; '' outside of `lab`."""
    parts = module.split('.')
    return parts[2] if len(parts) > 2 and parts[1] == 'lab' else ''


def lab_rank_of(room: str) -> int:
    """Row of a room of `lab`, 0 at the top."""
    for rank, row in enumerate(LAB_LAYERS):
        if room in row:
            return rank
    raise AssertionError(
        f'lab.{room} has no layer: name it in LAB_LAYERS and in docs/architecture.md'
    )


def lab_offences(module: str, imports: list[tuple[int, str]]) -> list[str]:
    """Only `cli` imports `lab`; inside of it the rows of LAB_LAYERS hold."""
    offences, room = [], lab_room_of(module)
    for line, name in imports:
        if not f'{name}.'.startswith(f'{PACKAGE}.lab.'):
            continue
        if room_of(module) not in ('cli', 'lab'):
            offences.append(f'{module}:{line} imports {name}: only cli imports lab')
        other = lab_room_of(name)
        if room and other and other != room and lab_rank_of(other) <= lab_rank_of(room):
            offences.append(f'{module}:{line} imports {name}: {other} is not below {room}')
    return offences


def layer_offences(module: str, imports: list[tuple[int, str]]) -> list[str]:
    room = room_of(module)
    if not room:
        return [
            f'{module}:{line} the package itself imports {name}'
            for line, name in imports
            if name.split('.')[0] == PACKAGE
        ]
    offences = []
    for line, name in imports:
        if name.split('.')[0] != PACKAGE or name.startswith(f'{PACKAGE}.msg'):
            continue
        other = room_of(name)
        if other in ('', room) or (room, other) in ALLOWED_SIBLINGS:
            continue
        if rank_of(other) <= rank_of(room):
            offences.append(f'{module}:{line} imports {name}: {other} is not below {room}')
    return offences


def is_ros(name: str) -> bool:
    top = name.split('.')[0]
    generated = top.endswith(('_msgs', '_interfaces', '_srvs'))
    return top in ROS_MODULES or generated or name.startswith(f'{PACKAGE}.msg')


def ros_offences(module: str, imports: list[tuple[int, str]]) -> list[str]:
    if room_of(module) == 'node':
        return []
    return [
        f'{module}:{line} imports {name}: only node/ may' for line, name in imports if is_ros(name)
    ]


def io_offences(module: str, tree: ast.AST, imports: list[tuple[int, str]]) -> list[str]:
    """The network is arithmetic: it opens nothing."""
    if room_of(module) != 'network':
        return []
    offences = [
        f'{module}:{line} imports {name}: network/ does no I/O'
        for line, name in imports
        if name.split('.')[0] in IO_MODULES
    ]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id == 'open':
            offences.append(f'{module}:{node.lineno} calls open(): network/ does no I/O')
        owner = function.value if isinstance(function, ast.Attribute) else None
        if (
            isinstance(owner, ast.Name)
            and owner.id in ('np', 'numpy', 'torch')
            and (function.attr in NUMPY_FILE_FUNCTIONS)
        ):
            offences.append(
                f'{module}:{node.lineno} calls {owner.id}.{function.attr}(): network/ does no I/O'
            )
    return offences


def assert_offences(module: str, tree: ast.AST) -> list[str]:
    """`python -O` removes assert: what comes from outside is checked with an exception."""
    if room_of(module) not in ('sensing', 'wire', 'bags', 'contract', 'graph_specs', 'config'):
        return []
    return [
        f'{module}:{node.lineno} uses assert: raise an error of metabev_ros.errors'
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]


def match_offences(module: str, tree: ast.AST) -> list[str]:
    """A `match` without this end would pass over a member of an enum that came later."""
    offences = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Match):
            last = node.cases[-1]
            end = f'{ast.unparse(last.pattern)}: {ast.unparse(last.body[-1])}'
            if last.guard is not None or end != f'_: assert_never({ast.unparse(node.subject)})':
                offences.append(f'{module}:{node.lineno} match does not end in assert_never')
    return offences


def name_offences(module: str) -> list[str]:
    return [
        f'{module}: {part} says nothing about what is inside'
        for part in module.split('.')
        if part.strip('_') in VAGUE_NAMES
    ]


NODE_PROCESS = f'{PACKAGE}.node.process'  # ends a process whose inference hangs


def print_offences(source: str, module: str) -> list[str]:
    """Calls that write to the terminal or end the process, outside of `if __name__ == ...`."""
    statements = [
        s
        for s in ast.parse(source).body
        if not (isinstance(s, ast.If) and '__name__' in ast.unparse(s.test))
    ]
    return [
        f'{module}:{node.lineno} calls {ast.unparse(node.func)}()'
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ('print', 'exit', 'quit', 'sys.exit', 'os._exit')
    ]


def offences_of(source: str, module: str, is_package: bool = False) -> list[str]:
    """All rules on one module."""
    tree = ast.parse(source)
    imports = imported_modules(tree, module, is_package)
    return [
        *layer_offences(module, imports),
        *lab_offences(module, imports),
        *ros_offences(module, imports),
        *io_offences(module, tree, imports),
        *assert_offences(module, tree),
        *match_offences(module, tree),
        *name_offences(module),
    ]


def test_every_module_keeps_the_rules(repo_root):
    modules = package_modules(repo_root)
    assert f'{PACKAGE}.errors' in modules
    offences = [
        offence
        for module, path in modules.items()
        for offence in offences_of(path.read_text(), module, path.name == '__init__.py')
    ]
    assert not offences, '\n' + '\n'.join(offences)


def test_every_room_of_the_package_has_a_layer(repo_root):
    for module in package_modules(repo_root):
        if room_of(module) not in ('', '__main__'):
            rank_of(room_of(module))
        if lab_room_of(module):
            lab_rank_of(lab_room_of(module))


def test_only_the_command_line_prints_or_exits(repo_root):
    """A library that prints or exits cannot be used by a node; the node's `main` may end it."""
    offences = [
        offence
        for module, path in package_modules(repo_root).items()
        if room_of(module) not in ('cli', '') and module != NODE_PROCESS
        for offence in print_offences(path.read_text(), module)
    ]
    assert not offences, '\n' + '\n'.join(offences)


def test_a_print_in_a_function_is_found_and_an_exit_under_the_main_guard_is_not():
    assert print_offences('def f():\n    print(1)', f'{PACKAGE}.pipeline')
    assert print_offences('import sys\nsys.exit(1)', f'{PACKAGE}.pipeline')
    assert not print_offences(
        "if __name__ == '__main__':\n    sys.exit(main())", f'{PACKAGE}.node.perception_node'
    )


@pytest.mark.parametrize(
    ('module', 'source', 'rule'),
    [
        ('errors', 'import metabev_ros.config', 'config is not below errors'),
        ('sensing.health', 'from metabev_ros.wire import encode', 'wire is not below sensing'),
        ('sensing.health', 'from ..wire import encode', 'wire is not below sensing'),
        ('sensing.health', 'from .. import pipeline', 'pipeline is not below sensing'),
        ('pipeline', 'from metabev_ros import replay', 'replay is not below pipeline'),
        (
            'lab.evaluation.map',
            'def f():\n    import metabev_ros.lab.training.loop',
            'training is not below',
        ),
        ('replay.run', 'from metabev_ros.lab import datasets', 'only cli imports lab'),
        ('node.process', 'import metabev_ros.lab.demo.run', 'lab is not below node'),
        ('replay.run', 'import metabev_ros.node.ros', 'node is not below replay'),
        ('replay.run', 'import rclpy', 'only node/ may'),
        ('wire', 'from sensor_msgs.msg import Image', 'only node/ may'),
        ('replay.run', 'from metabev_ros.msg import BevMap', 'only node/ may'),
        ('replay.run', 'from metabev_ros import msg', 'only node/ may'),
        ('sensing.tf', 'def f():\n    from tf2_ros import Buffer', 'only node/ may'),
        ('network.heads', 'open("weights")', 'network/ does no I/O'),
        ('network.heads', 'import numpy as np\nnp.load("x.npy")', 'network/ does no I/O'),
        ('network.heads', 'import torch\ntorch.load("x.pt")', 'network/ does no I/O'),
        ('network.heads', 'from pathlib import Path', 'network/ does no I/O'),
        ('sensing.decoding', 'def f(x):\n    assert x > 0', 'uses assert'),
        ('pipeline', 'match x:\n    case 1:\n        pass', 'does not end in assert_never'),
        (
            'pipeline',
            'match x:\n    case 1:\n        pass\n    case _:\n        pass',
            'does not end in assert_never',
        ),
        ('sensing.utils', '', 'says nothing'),
        ('helpers', '', 'says nothing'),
    ],
)
def test_a_planted_offender_is_found(module, source, rule):
    offences = offences_of(source, f'{PACKAGE}.{module}')
    assert any(rule in offence for offence in offences), offences


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('cli', 'from metabev_ros.lab.demo import run'),
        (
            'lab.demo.run',
            'from metabev_ros.lab.evaluation import report\nfrom metabev_ros import replay',
        ),
        ('node.perception_node', 'import rclpy\nfrom metabev_ros.msg import BevMap'),
        (
            'node.perception_node',
            'from metabev_ros.pipeline import Pipeline\nfrom . import support',
        ),
        ('pipeline', 'from metabev_ros.sensing.health import Health\nimport numpy as np'),
        ('network.heads', 'import torch\nfrom metabev_ros.geometry import BevGrid'),
        (
            'pipeline',
            'match x:\n    case 1:\n        pass\n    case _:\n        assert_never(x)',
        ),
    ],
)
def test_what_the_rules_allow_is_not_an_offence(module, source):
    assert not offences_of(source, f'{PACKAGE}.{module}')


BLOCKED_IMPORT = """
import sys


class Blocker:
    blocked = ('torch', 'rclpy', 'matplotlib', 'onnx', 'onnxscript', 'typer', 'rosbags')

    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in self.blocked:
            raise ImportError(f'blocked: {name}')


sys.meta_path.insert(0, Blocker())
import metabev_ros.pipeline
print('imported', *(name for name in Blocker.blocked if name in sys.modules))
"""


def test_the_pipeline_is_imported_without_torch_ros_and_plotting(repo_root):
    result = subprocess.run(
        [sys.executable, '-c', BLOCKED_IMPORT],
        cwd=repo_root,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ['imported']
