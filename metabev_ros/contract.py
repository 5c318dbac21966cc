"""Promise of an artefact: names, shapes, dtypes, configuration and SHA-256 of every graph.

`contract.json` lies beside the ONNX files; it is checked before a graph is loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Union, cast

from metabev_ros.config import ModelConfig, from_plain, to_plain
from metabev_ros.config.yaml import require
from metabev_ros.errors import ConfigError, ContractError, clean_text
from metabev_ros.files import write_text
from metabev_ros.graph_specs import TensorSpec, graph_inputs, graph_outputs
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.score_calibration import ScoreCalibration

JsonValue: TypeAlias = Union[  # noqa: UP007  evaluated when the module is loaded: names itself
    None, bool, int, float, str, 'list[JsonValue]', 'dict[str, JsonValue]'
]

T = TypeVar('T')

FORMAT = 1


@dataclass(frozen=True)
class Contract:
    """The contract of one model folder.

    Attributes:
        digests: file name -> SHA-256 of every graph.
        producer: tool -> version.
        weights_sha256: of the safetensors file the graphs were made from.
        form: runtime the graphs are written for; the shipped one is not named in the file, which
            contracts from before the forms do not either.
        score_calibration: None, and no field of the file: scores are published as the
            network gives them.
        measured_errors: None, and no field of the file: nothing is known of the boxes' errors.
    """

    config: ModelConfig
    opset: int
    precision: str
    digests: dict[str, str]
    producer: dict[str, str]
    weights_sha256: str
    form: GraphForm = GraphForm.ONNXRUNTIME
    score_calibration: ScoreCalibration | None = None
    measured_errors: MeasuredErrors | None = None

    def __post_init__(self) -> None:
        for name in ('score_calibration', 'measured_errors'):
            fitted: ScoreCalibration | MeasuredErrors | None = getattr(self, name)
            if fitted is None or fitted.weights_sha256 == self.weights_sha256:
                continue
            raise ConfigError(
                f'{name}: weights_sha256',
                f'{self.weights_sha256[:16]}..., the weights of the graphs',
                f'{fitted.weights_sha256[:16]}...',
                'run `metabev calibrate` for these weights',
            )

    @property
    def graphs_hash(self) -> str:
        """Hash of the contract without what was measured, which engines do not depend on."""
        return dataclasses.replace(self, score_calibration=None, measured_errors=None).hash

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over the canonical JSON."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def digest_of(self, graph: str) -> str:
        """SHA-256 of a graph's file.

        Raises:
            ContractError: where the contract holds none.
        """
        name = f'{graph}.onnx'
        if name not in self.digests:
            raise ContractError(
                'contract.json: digests', name, 'none of it', 'export the model again'
            )
        return self.digests[name]

    def to_json(self) -> dict[str, Any]:
        """Build the content of `contract.json`."""

        def specs(table: dict[str, tuple[TensorSpec, ...]]) -> dict[str, list[dict[str, Any]]]:
            return {
                graph: [to_plain(spec) for spec in tensors] for graph, tensors in table.items()
            }

        form = {} if self.form is GraphForm.ONNXRUNTIME else {'form': self.form.value}
        fitted = self.score_calibration
        calibration = {} if fitted is None else {'score_calibration': fitted.to_plain()}
        errors = self.measured_errors
        measured = {} if errors is None else {'measured_errors': errors.to_plain()}
        return {
            **form,
            'format': FORMAT,
            'config_sha256': self.config.hash,
            'opset': self.opset,
            'precision': self.precision,
            'digests': self.digests,
            'producer': self.producer,
            'weights_sha256': self.weights_sha256,
            'detection_classes': list(self.config.detection_classes),
            'map_classes': list(self.config.map_classes),
            'bev_grid': to_plain(self.config.bev_grid),
            'map_grid': to_plain(self.config.map_grid),
            'inputs': specs(graph_inputs(self.config)),
            'outputs': specs(graph_outputs(self.config)),
            'config': to_plain(self.config),
            **calibration,
            **measured,
        }

    def save(self, path: Path) -> None:
        """Write the JSON atomically."""
        write_text(path, json.dumps(self.to_json(), indent=1) + '\n')


def load_contract(folder: Path) -> Contract:
    """Read `contract.json` and check that it describes the tensors this version expects.

    Raises:
        ContractError: listing the fields that do not fit.
    """
    path = Path(folder) / 'contract.json'
    plain = _read_json(path)
    try:
        config = from_plain(ModelConfig, plain['config'], f'{path.name}: config')
        contract = Contract(
            config,
            _field(plain, 'opset', int),
            _field(plain, 'precision', str),
            _texts(plain, 'digests'),
            _texts(plain, 'producer'),
            _field(plain, 'weights_sha256', str),
            GraphForm(plain.get('form', GraphForm.ONNXRUNTIME.value)),
            _calibration(plain, config),
            _errors(plain, config),
        )
    except KeyError as error:
        raise ContractError(
            str(path), f'the field {error}', 'none', 'export the model again'
        ) from error
    except ConfigError as error:
        raise ContractError(
            f'{path}: {error.where}',
            error.expected,
            error.got,
            'export the model again',
        ) from error
    except ValueError as error:
        raise ContractError(
            f'{path}: form',
            f'one of {[form.value for form in GraphForm]}',
            repr(plain.get('form')),
            'export the model again',
        ) from error
    differing = list(_differences(json.loads(json.dumps(contract.to_json())), plain))
    if differing:
        more = f' and {len(differing) - 8} more' if len(differing) > 8 else ''
        raise ContractError(
            str(path),
            'what this version makes of its configuration',
            f'(expected, there) {"; ".join(differing[:8])}{more}',
            'export the model again',
        )
    return contract


def _field(plain: dict[str, Any], name: str, kind: type[T]) -> T:
    """A field of a contract's JSON.

    Raises:
        ConfigError: for one of another type.
        KeyError: for one that is missing.
    """
    value: Any = plain[name]
    require(isinstance(value, kind), name, kind.__name__, clean_text(value))
    return cast('T', value)


def _texts(plain: dict[str, Any], name: str) -> dict[str, str]:
    """A field that gives texts by name; raises as `_field`."""
    table = cast('dict[str, Any]', _field(plain, name, dict))
    return {key: _field(table, key, str) for key in table}


def _calibration(plain: dict[str, Any], config: ModelConfig) -> ScoreCalibration | None:
    """The calibration in a contract's JSON; None where there is none.

    Raises:
        ConfigError: for one that is damaged or of other classes.
    """
    if 'score_calibration' not in plain:
        return None
    return ScoreCalibration.from_plain(
        plain['score_calibration'], config.detection_classes, config.map_classes
    )


def _errors(plain: dict[str, Any], config: ModelConfig) -> MeasuredErrors | None:
    """The measured errors in a contract's JSON; None where there are none.

    Raises:
        ConfigError: for some that are damaged or of other classes.
    """
    if 'measured_errors' not in plain:
        return None
    return MeasuredErrors.from_plain(plain['measured_errors'], config.detection_classes)


def measured_errors_for(model: Path, weights_sha256: str) -> MeasuredErrors | None:
    """The errors that a model folder holds for these weights, as `score_calibration_for`."""
    try:
        contract = load_contract(model)
    except ContractError:
        return None
    return contract.measured_errors if contract.weights_sha256 == weights_sha256 else None


def score_calibration_for(model: Path, weights_sha256: str) -> ScoreCalibration | None:
    """The calibration that a model folder holds for these weights; None where it holds none.

    One of other weights is none, and neither is that of a contract that cannot be read: whoever
    asks makes the contract anew, or runs without one.
    """
    try:
        contract = load_contract(model)
    except ContractError:
        return None
    return contract.score_calibration if contract.weights_sha256 == weights_sha256 else None


def _read_json(path: Path) -> dict[str, Any]:
    """Read the content of a contract of this version's format, its fields unchecked.

    Raises:
        ContractError
    """
    try:
        plain: Any = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise ContractError(
            str(path), 'a readable contract', str(error), 'run `metabev export` for this model'
        ) from error
    found: Any = cast('dict[str, Any]', plain).get('format') if isinstance(plain, dict) else plain
    if not isinstance(plain, dict) or found != FORMAT:
        raise ContractError(
            f'{path}: format', str(FORMAT), repr(found), 'export the model again with this version'
        )
    return cast('dict[str, Any]', plain)


def _differences(expected: JsonValue, there: JsonValue, where: str = '') -> Iterator[str]:
    """Yield 'path: expected, there' for every leaf of two JSON values that differs."""
    if isinstance(expected, dict) and isinstance(there, dict):
        for key in sorted(expected.keys() | there.keys()):
            yield from _differences(expected.get(key), there.get(key), f'{where}.{key}'.strip('.'))
    elif isinstance(expected, list) and isinstance(there, list) and len(expected) == len(there):
        for i, pair in enumerate(zip(expected, there, strict=True)):
            yield from _differences(*pair, f'{where}[{i}]')
    elif expected != there:
        yield f'{where}: {json.dumps(expected)[:40]}, {json.dumps(there)[:40]}'


def require_current_variant(model: Path, form: GraphForm, precision: GraphPrecision) -> None:
    """Stop if a variant was made from other weights than the fp32 graphs beside it.

    Exporting new weights leaves older variants in place: each fits its own contract, and the
    vehicle would go on with the old network. A folder without fp32 graphs has nothing to compare.

    Raises:
        ContractError: naming both weights.
    """
    folder = variant_folder(model, form, precision)
    if folder == Path(model) or not (Path(model) / 'contract.json').exists():
        return
    whole, variant = load_contract(model), load_contract(folder)
    ours, theirs = whole.weights_sha256, variant.weights_sha256
    measured = (whole.score_calibration, whole.measured_errors)
    if ours == theirs and measured != (variant.score_calibration, variant.measured_errors):
        raise ContractError(
            f'{folder}/contract.json: score_calibration, measured_errors',
            'those of the fp32 graphs',
            'others, or none',
            'run `metabev calibrate MODEL` again: it writes the contracts of all variants',
        )
    if ours != theirs:
        raise ContractError(
            f'{folder}/contract.json: weights',
            f'{ours[:16]}..., those of the fp32 graphs',
            f'{theirs[:16]}...',
            f'run `metabev export MODEL --form {form.value} --precision {precision.value}` again',
        )
