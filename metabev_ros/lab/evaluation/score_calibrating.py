"""`metabev calibrate`: gathers scores on held-out drives, fits the lines, and stores them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabev_ros.contract import load_contract
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.graph_variants import GraphForm, GraphPrecision, variant_folder
from metabev_ros.lab.datasets.corruptions import Failure, Setting, corrupt
from metabev_ros.lab.datasets.samples import LabelledSample, restrict_to
from metabev_ros.lab.evaluation.box_errors import measure_errors
from metabev_ros.lab.evaluation.labelled_drives import LabelledDrives
from metabev_ros.lab.evaluation.records import ResultRecord, make_record
from metabev_ros.lab.evaluation.score_fitting import (
    DriveCases,
    StateErrors,
    cross_fitted_errors,
    every_score,
    fit_calibration,
)
from metabev_ros.lab.evaluation.sharing import SharedRuns
from metabev_ros.measured_errors import MeasuredErrors
from metabev_ros.pipeline import Pipeline
from metabev_ros.score_calibration import ScoreCalibration
from metabev_ros.structures import Modality, Sample

# Worlds of their own: training takes seeds from 100 000 on, the choice of a checkpoint from
# 900 000 on, the final figures from 950 000 on.
FIRST_SEED = 980_000
TOPIC = 'calibration'
SHOWN = ('detection', 'map', 'pooled')  # of Errors


@dataclass(frozen=True)
class State:
    """A state of the sensors that scores are measured in.

    Attributes:
        name: of the branch for the states that lines are fitted to.
        setting: failure that is measured with the lines of its branch; None: nothing fails.
    """

    name: str
    modality: Modality
    setting: Setting | None = None


STATES = (
    *(State(m.name.lower(), m) for m in (Modality.FUSED, Modality.LIDAR, Modality.CAMERA)),
    State('fused_half_the_views', Modality.FUSED, Setting(Failure.VIEW_DROP, 3)),
    State('fused_lidar_120', Modality.FUSED, Setting(Failure.LIMITED_FIELD, 120)),
    State('lidar_120', Modality.LIDAR, Setting(Failure.LIMITED_FIELD, 120)),
)


@dataclass(frozen=True)
class CalibrationOutcome:
    """A calibration, and what it gives on drives that it was not fitted to."""

    calibration: ScoreCalibration
    errors: dict[str, StateErrors]
    samples: int
    measured: MeasuredErrors

    def lines(self) -> list[str]:
        """For people."""
        header = f'{"state":22}{"boxes":>16}{"all classes":>18}{"map":>18}{"chance":>8}'
        rows = [
            f'{state:22}'
            + ''.join(
                f'{getattr(e.before, name):9.4f} >{getattr(e.after, name):7.4f}'
                for name in ('detection', 'pooled', 'map')
            )
            + f'{e.after.chance:8.4f}'
            for state, e in self.errors.items()
        ]
        return ['expected calibration error, before > after', header, *rows, *self._box_lines()]

    def _box_lines(self) -> list[str]:
        """Number of classes of each branch that have measured errors of their boxes."""
        counts = [f'{m.name} {len(c)}' for m, c in self.measured.branches.items()]
        return [f'classes with measured errors of boxes: {", ".join(counts) or "none"}']

    def records(self, command: str) -> list[ResultRecord]:
        """For docs/results: calibration.<state>.<what>.before and after, and .chance."""
        records: list[ResultRecord] = []
        for state, errors in self.errors.items():
            for when, found in (('before', errors.before), ('after', errors.after)):
                for name in SHOWN:
                    value = getattr(found, name)
                    if not np.isnan(value):
                        name = f'{TOPIC}.{state}.{name}.{when}'
                        records.append(make_record(name, value, 'ECE', command, self.samples))
            chance, name = errors.after.chance, f'{TOPIC}.{state}.chance'
            if not np.isnan(chance):
                records.append(make_record(name, chance, 'ECE', command, self.samples))
        return records


def calibrate(
    model: Path,
    drives: LabelledDrives,
    threads: int = 2,
    progress: Callable[[int, int, str], None] | None = None,
) -> CalibrationOutcome:
    """Fit a model's calibration to the raw scores of its fp32 graphs; stores nothing.

    Args:
        drives: that neither training nor the final figures see.
        progress: called with (finished drives, all drives, text).

    Raises:
        ContractError: where the model was not exported.
        ConfigError: for less than two drives, or samples that do not fit.
        BackendError: if inference fails.
    """
    contract = load_contract(model)
    pipeline = Pipeline.load(model, 'onnxruntime', threads)
    pipeline.postprocess = every_score(pipeline.config)
    everywhere = drives.all_drives
    cases: dict[str, list[DriveCases]] = {}
    samples = 0
    for done, drive in enumerate(everywhere):
        if progress is not None:
            progress(done, len(everywhere), f'drive {drive.name}')
        here: dict[str, DriveCases] = {}
        for place, labelled in enumerate(drives.samples(drive, pipeline)):
            samples += 1
            runs = SharedRuns(pipeline)
            for state, sample in _states(labelled, drive.first_sample_seed + place):
                found = runs(sample)
                here.setdefault(state.name, DriveCases()).add(*found, labelled.truth)
        for name, drive_cases in here.items():
            cases.setdefault(name, []).append(drive_cases)
    branch_of = {state.name: state.modality for state in STATES}
    if not cases:
        raise ConfigError('metabev calibrate', 'labelled samples', 'none')
    threshold = pipeline.config.head.score_threshold
    errors = cross_fitted_errors(cases, branch_of, threshold)
    weights = contract.weights_sha256
    fitted = fit_calibration(cases, weights, drives.words)
    measured = measure_errors(cases, fitted, threshold, weights, drives.words)
    return CalibrationOutcome(fitted, errors, samples, measured)


def _states(labelled: LabelledSample, seed: int) -> Iterator[tuple[State, Sample]]:
    """The states that a sample can show, and the sample in each."""
    for state in STATES:
        if state.modality & labelled.sample.modality != state.modality:
            continue
        sample = labelled.sample
        if state.setting is not None:
            sample = corrupt(labelled, state.setting, seed)
        if state.modality & sample.modality == state.modality:
            yield state, restrict_to(sample, state.modality)


def store_calibration(
    model: Path, calibration: ScoreCalibration, measured: MeasuredErrors | None = None
) -> list[Path]:
    """Put a calibration into the contracts of a model's graphs, variants of the same weights too.

    Args:
        measured: errors of the boxes of the same weights; None: there are none any more.

    Returns:
        the files that were written.

    Raises:
        ContractError: if the model has no contract, or one of other weights.
    """
    written: list[Path] = []
    for form in GraphForm:
        for precision in GraphPrecision:
            folder = variant_folder(model, form, precision)
            path = folder / 'contract.json'
            if folder != Path(model) and not path.exists():
                continue
            contract = load_contract(folder)
            if contract.weights_sha256 == calibration.weights_sha256:
                dataclasses.replace(
                    contract, score_calibration=calibration, measured_errors=measured
                ).save(path)
                written.append(path)
    if not written:
        raise ContractError(
            f'{model}/contract.json',
            f'graphs of the weights {calibration.weights_sha256[:16]}...',
            'graphs of others',
            'export the model again',
        )
    return written
