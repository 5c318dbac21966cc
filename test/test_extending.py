"""The recipes of docs/extending.md: a place that is forgotten fails here, by name."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from support import recipes
from support.made_model import MODEL
from support.recipes import ROOT, Place, definitions, forgotten, words_in
from support.small_networks import sample_of, small_model, sweep, tensors

from benchmark.reliability.checks import DETECTORS
from benchmark.reliability.fuzz import rig as fuzz_rig
from metabev_ros import wire
from metabev_ros.backends.profiles import ProfileLimits, graph_profile
from metabev_ros.config import (
    CameraConfig,
    LidarBranchConfig,
    LidarEncoder,
    ModelConfig,
    RigConfig,
    Transport,
    from_plain,
    load_config,
    to_plain,
)
from metabev_ros.faults.plan import IMAGES
from metabev_ros.graph_specs import TensorSpec, graph_inputs, graph_outputs
from metabev_ros.network.lidar import build_lidar_encoder
from metabev_ros.network.metabev import MetaBev
from metabev_ros.node.access_policy import access_policy
from metabev_ros.postprocess import Postprocessor
from metabev_ros.preprocess.preprocessor import Preprocessor
from metabev_ros.sensing import checks
from metabev_ros.sensing.topics import image_type
from metabev_ros.structures import (
    DETECTION_CLASSES,
    Detections,
    Modality,
    PerceptionResult,
    Sample,
    Sweep,
)
from metabev_ros.wire.cdr import PACKAGE

ENCODER, CHECK, CLASS = 'A LiDAR encoder', 'A check of content', 'A detection class'
OUTPUT, TRANSPORT, RANGE = 'An output topic', 'A transport', 'The BEV range'
RECIPES = recipes.recipes()

# Every encoder at a size that a test can run; what is not named is the default.
LIDAR_BRANCHES = {
    LidarEncoder.PILLAR: LidarBranchConfig(pillar_channels=8, bev_channels=8, max_pillars=500),
    LidarEncoder.SPARSE: LidarBranchConfig(
        LidarEncoder.SPARSE, z_min=-3.2, z_max=4.8, max_voxels=2000, bev_channels=256
    ),
    LidarEncoder.FINE_PILLAR: LidarBranchConfig(
        LidarEncoder.FINE_PILLAR,
        pillar=0.2,
        points_per_pillar=4,
        max_pillars=500,
        pillar_channels=8,
        fine_channels=8,
        bev_channels=8,
    ),
}


def test_every_place_of_every_recipe_exists() -> None:
    assert len(RECIPES) == 6 and all(RECIPES.values())
    gone = [
        f'{title}: there is no {place}'
        for title, places in RECIPES.items()
        for place in places
        if not recipes.exists(place)
    ]
    assert not gone, '\n'.join(['', *gone, 'Name the new place in docs/extending.md.'])


# ------------------------------------------------------------------------------- LiDAR encoder
def test_every_function_that_asks_for_the_lidar_encoder_has_a_case_for_each() -> None:
    named = recipes.members_named('LidarEncoder')
    problems = [f'{place} is no step of the recipe' for place in named.keys() - RECIPES[ENCODER]]
    for place, members in named.items():
        problems += [
            f'{place} has no case for LidarEncoder.{encoder.name}'
            for encoder in LidarEncoder
            if encoder.name not in members
        ]
    assert not problems, forgotten(ENCODER, problems)


def misfits(specs: tuple[TensorSpec, ...], arrays: dict[str, np.ndarray]) -> list[str]:
    """List the arrays that are not as a contract says."""
    if [spec.name for spec in specs] != list(arrays):
        return [f'graph_specs.py names {[s.name for s in specs]}, the code makes {list(arrays)}']
    return [
        f'{spec.name} has shape {arrays[spec.name].shape}, graph_specs.py says {spec.shape}'
        for spec in specs
        if not fits(spec.shape, arrays[spec.name].shape)
    ]


def arrays_of(values: Mapping[str, torch.Tensor | None]) -> dict[str, np.ndarray]:
    """Arrays of the tensors that are there."""
    return {name: value.numpy() for name, value in values.items() if value is not None}


def fits(expected: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether a shape is the expected one, of which `None` is free."""
    sizes = zip(expected, shape, strict=False)
    return len(expected) == len(shape) and all(a in (None, b) for a, b in sizes)


@pytest.mark.parametrize('encoder', LidarEncoder)
def test_what_a_lidar_encoder_is_given_is_what_its_contract_profile_and_module_take(
    encoder: LidarEncoder,
) -> None:
    name = f'LidarEncoder.{encoder.name}'
    problem = f'test/test_extending.py LIDAR_BRANCHES has no {name}'
    assert encoder in LIDAR_BRANCHES, forgotten(ENCODER, [problem])
    config = dataclasses.replace(small_model(), lidar=LIDAR_BRANCHES[encoder])
    arrays = Preprocessor(config).lidar_inputs(sweep(config, np.random.default_rng(0)))
    specs = graph_inputs(config)['lidar_encoder']
    problems = misfits(specs, arrays)
    try:
        graph_profile(config, 'lidar_encoder', ProfileLimits())
    except KeyError as error:
        problems.append(f'metabev_ros/backends/profiles.py _lidar_sizes has no sizes of {error}')
    assert not problems, forgotten(ENCODER, [f'{name}: {problem}' for problem in problems])
    with torch.no_grad():
        bev = build_lidar_encoder(config).eval()(*tensors(arrays).values())
    expected = 1, config.lidar.bev_channels, *config.bev_grid.shape
    assert bev.shape == expected, forgotten(ENCODER, [f'{name} gives {tuple(bev.shape)}'])


# ---------------------------------------------------------------------------- check of content
def simple(text: str) -> str:
    """Text without what joins its words: `in_range` is said as 'in range'."""
    return re.sub(r'[-_ ]', '', text)


def test_every_check_of_content_is_counted_and_has_a_row_of_the_fault_matrix() -> None:
    tables = [table for name, table in vars(checks).items() if name.endswith('_CHECKS')]
    assert tables, forgotten(CHECK, ['metabev_ros/sensing/checks.py has no table'])
    counted = {simple(name) for name in DETECTORS}
    words = {simple(text) for text in recipes.words_of_row_tests()}
    problems = [
        f'{place} is no step of the recipe'
        for name in vars(checks)
        if name.endswith('_CHECKS')
        and (place := Place('metabev_ros/sensing/checks.py', name)) not in RECIPES[CHECK]
    ]
    for check in (check for table in tables for check in table):
        if simple(check.name) not in counted:
            problems.append(f'benchmark/reliability/checks.py TABLES has no check {check.name!r}')
        # Outputs carry what a check says, not its name.
        asked = simple(check.name), simple(check.words.partition('{')[0])
        if not any(part in text for part in asked for text in words):
            problems.append(f'no test of a row of test/faults/matrix.yaml asks for {check.name!r}')
    assert not problems, forgotten(CHECK, problems)


# ----------------------------------------------------------------------------- detection class
# Tables that need not have every class.
OPTIONAL = {
    'AV2_CLASSES',
    'CLASSES',
    'IGNORED_ERRORS',
    'KITTI_CLASSES',
    'KITTI_NAMES',
    'PasteCounts',  # checks itself that it has every class
    '_BODY_COLOURS',
    '_COMMON',
    '_LANE_MIX',
    '_MIX',
    '_MOVING',
    '_QUEUE_MIX',
    '_STILL',
    '_STRIP_MIX',
    '_TURNING_MIX',
    '_UPRIGHT',
    '_VEHICLES',
    'shelf',
}


def missing_of(place: Place) -> list[str]:
    """Classes that a table lacks; a table without names has one row a class, in their order."""
    statement = dict(definitions(place.path))[place.symbol]
    words = words_in(statement)
    if words & set(DETECTION_CLASSES):
        return [name for name in DETECTION_CLASSES if name not in words]
    rows = next(n.elts for n in ast.walk(statement) if isinstance(n, (ast.Tuple, ast.List)))
    return list(DETECTION_CLASSES[len(rows) :])


def test_every_table_of_detection_classes_has_each_class() -> None:
    tables = [
        place
        for place in RECIPES[CLASS]
        if place.path.endswith('.py') and recipes.exists(place) and place.symbol not in OPTIONAL
    ]
    problems = [f'{place} has no {name}' for place in tables for name in missing_of(place)]
    world = 'metabev_ros/lab/datasets/synthetic'
    page = 'docs/topics_and_parameters.md'
    placed = words_in(recipes.tree_of(f'{world}/population.py'))
    placed |= words_in(recipes.tree_of(f'{world}/kerbside.py'))
    text = (ROOT / page).read_text()
    for name in DETECTION_CLASSES:
        problems += [] if name in placed else [f'{world} puts no {name} anywhere']
        problems += [] if f'`{name}`' in text else [f'{page} does not list {name}']
    for path in recipes.modules():
        for symbol, statement in definitions(path):
            is_table = len(words_in(statement) & set(DETECTION_CLASSES)) >= 3
            if is_table and isinstance(statement, (ast.Assign, ast.AnnAssign)):
                is_step = Place(path, symbol) in RECIPES[CLASS]
                problems += [] if is_step else [f'{path} {symbol} is no step of the recipe']
    assert not problems, forgotten(CLASS, problems)


# -------------------------------------------------------------------------------- output topic
STATUSES = {wire.STATUS, wire.DIAGNOSTICS}
NOT_OF_ONE_RESULT = {*STATUSES, wire.TRACKS}
WITHOUT_DISPLAY = ('metabev_ros', 'diagnostic_msgs')  # packages RViz and Foxglove's 3D panel skip


def results() -> set[str]:
    """Topics of the messages that one result becomes."""
    points = Sweep(1, np.zeros((1, 5), np.float32), np.eye(4))
    sample = Sample(1, {}, points, Modality.LIDAR)
    found = Detections(np.zeros((0, 9), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    layers = np.zeros((len(MODEL.map_classes), *MODEL.map_grid.shape), np.float32)
    result = PerceptionResult(sample, found, layers, {})
    return {message.topic for message in wire.encode_result(result, MODEL, 'base_link')}


def test_every_output_topic_is_made_counted_permitted_shown_and_documented() -> None:
    def text(path: str) -> str:
        return (ROOT / path).read_text()

    publishers = dict(definitions('metabev_ros/node/publishers.py'))
    wanted = {
        getattr(wire, node.attr)
        for node in ast.walk(publishers['RESULTS'])
        if isinstance(node, ast.Attribute)
    }
    rig = load_config(RigConfig, ROOT / 'config/rigs/nuscenes_like.yaml')
    made, policy = results(), access_policy(rig)
    problems: list[str] = []
    for topic, msgtype in wire.OUTPUT_TYPES.items():
        package = msgtype.partition('/')[0]
        full = topic if topic.startswith('/') else f'~/{topic}'
        shown = full.replace('~', '/perception')
        wheel = f'ros-jazzy-{package.replace("_", "-")}=='
        is_ours = package == PACKAGE
        known = {
            'metabev_ros/wire/outputs.py encode_result': topic in made | NOT_OF_ONE_RESULT,
            'metabev_ros/node/publishers.py RESULTS': topic in wanted | STATUSES,
            'metabev_ros/node/access_policy.py': f'<topic>{full}</topic>' in policy,
            'package.xml': is_ours or f'depend>{package}</' in text('package.xml'),
            'requirements/ros_jazzy.txt': is_ours or wheel in text('requirements/ros_jazzy.txt'),
            'a bag that replay writes': wire.knows_type(msgtype),
            'docs/topics_and_parameters.md': f'| `{full}` | `{msgtype}` |'
            in text('docs/topics_and_parameters.md'),
        }
        if package not in WITHOUT_DISPLAY:
            known['rviz/perception.rviz'] = f'Value: {shown}\n' in text('rviz/perception.rviz')
            layout = json.dumps(json.loads(text('rviz/foxglove_layout.json')))
            known['rviz/foxglove_layout.json'] = f'"{shown}"' in layout
        problems += [f'{topic} is not in {place}' for place, there in known.items() if not there]
    assert not problems, forgotten(OUTPUT, problems)


# ----------------------------------------------------------------------------------- transport
def test_every_function_that_asks_for_the_transport_has_a_case_for_each() -> None:
    named = recipes.members_named('Transport')
    problems = [f'{place} is no step of the recipe' for place in named.keys() - RECIPES[TRANSPORT]]
    for place, members in named.items():
        problems += [
            f'{place} has no case for Transport.{transport.name}'
            for transport in Transport
            if transport.name not in members
        ]
    read = Place('metabev_ros/sensing/camera_input.py', 'CameraInput.read')
    assert {Place('metabev_ros/sensing/topics.py', 'image_type'), read} <= named.keys()
    assert not problems, forgotten(TRANSPORT, problems)


@pytest.mark.parametrize('transport', Transport)
def test_images_of_every_transport_have_a_budget_and_are_damaged_fuzzed_and_documented(
    transport: Transport,
) -> None:
    camera = CameraConfig('c', 'c/image', 'c', transport, True, 'c/camera_info')
    msgtype = image_type(camera)
    package, sent = msgtype.partition('/')[0], {c.transport for c in fuzz_rig().cameras}
    page = (ROOT / 'docs/topics_and_parameters.md').read_text()
    known = {
        'metabev_ros/wire/budget.py MAX_BYTES': msgtype in wire.MAX_BYTES,
        'metabev_ros/faults/plan.py IMAGES': msgtype in IMAGES,
        'benchmark/reliability/fuzz.py rig': transport in sent,
        'package.xml': f'depend>{package}</' in (ROOT / 'package.xml').read_text(),
        'docs/topics_and_parameters.md': f'`transport: {transport.value}`' in page
        and f'`{msgtype}`' in page,
    }
    problems = [f'{msgtype} is not in {place}' for place, there in known.items() if not there]
    assert not problems, forgotten(TRANSPORT, problems)


# ----------------------------------------------------------------------------------- BEV range
@pytest.mark.parametrize('encoder', LIDAR_BRANCHES)
def test_another_bev_range_in_one_line_flows_through_to_tensors_and_boxes(
    encoder: LidarEncoder,
) -> None:
    small = dataclasses.replace(small_model(), lidar=LIDAR_BRANCHES[encoder])
    borders = {'x_min': -3.2, 'x_max': 9.6, 'y_min': -6.4, 'y_max': 12.8}
    line = {'bev_grid': {**borders, 'cell': small.bev_grid.cell}}
    config = from_plain(ModelConfig, to_plain(small) | line, 'model')
    grid = config.bev_grid
    assert grid.shape == (24, 16)
    camera, lidar, _ = sample_of(config, 0)
    inputs, outputs = graph_inputs(config), graph_outputs(config)
    problems = misfits(inputs['camera_encoder'], arrays_of(camera))
    problems += misfits(inputs['lidar_encoder'], arrays_of(lidar))
    assert not problems, forgotten(RANGE, problems)
    network = MetaBev(config).eval()
    with torch.no_grad():
        bevs = network.encode([camera], [lidar])
        made = network.fuse(*bevs[:2])
    maps = {'camera_bev': bevs[0][0], 'lidar_bev': bevs[1][0]}
    raw = arrays_of({spec.name: made.named()[spec.name] for spec in outputs['fusion_fused']})
    problems = misfits(inputs['fusion_fused'], arrays_of(maps)) + misfits(
        outputs['fusion_fused'], raw
    )
    assert not problems, forgotten(RANGE, problems)
    raw['heatmap'] = np.full_like(raw['heatmap'], -20)
    raw['heatmap'][0, 0, -1, -1], raw['boxes'] = 5, np.zeros_like(raw['boxes'])
    found, _ = Postprocessor(config)(raw)  # a peak in the last cell
    corner = grid.x_max - grid.cell, grid.y_max - grid.cell
    assert found.boxes[0, :2] == pytest.approx(corner), forgotten(RANGE, ['boxes lie elsewhere'])


def test_no_module_holds_a_border_of_the_bev_grid_as_a_number() -> None:
    borders = re.compile(r'\b(51\.2|102\.4)\b')
    allowed = {'metabev_ros/config/model.py'}
    problems = [
        f'{path} holds a border of the default grid: take it from ModelConfig.bev_grid'
        for path in recipes.modules()
        if path not in allowed and borders.search(ast.unparse(recipes.tree_of(path)))
    ]
    assert not problems, forgotten(RANGE, problems)
