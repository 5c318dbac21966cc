"""A model over folders of records, once per modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.record_folder import RecordFolder, labelled
from metabev_ros.lab.datasets.sample_record import SampleRecord, read_record
from metabev_ros.lab.evaluation.own_metrics import OwnMetrics, metric_of, missing_metric_notes
from metabev_ros.lab.evaluation.record_drives import RecordDrives
from metabev_ros.lab.evaluation.run import BY_SPEED, MODALITIES, Evaluation, ModalityScores
from metabev_ros.lab.evaluation.submission import SubmissionFile, require_submittable
from metabev_ros.pipeline import Pipeline
from metabev_ros.structures import Modality


@dataclass(frozen=True)
class SubmissionRequest:
    """A nuScenes result file that an evaluation writes as well.

    Attributes:
        path: of the file.
        is_external: whether the model learnt from other data than nuScenes.
    """

    path: Path
    is_external: bool


def evaluate_on_records(
    pipeline: Pipeline,
    drives: RecordDrives,
    modalities: tuple[Modality, ...] = MODALITIES,
    submission: SubmissionRequest | None = None,
    original: Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Evaluation:
    """Score a model on all records, and write its result file.

    Args:
        modalities: to score; those that no record has are left out. A result file is of the
            first one that is left.
        original: folder of the data set that the records come from, for what its own metric asks
            beside the records.
        progress: called with (record's name, number of records in all) after each record.

    Raises:
        ConfigError: for records of another kind of model, none with such sensors, or a result
            file that they cannot give.
        BackendError: if inference fails.
    """
    for folder in drives.opened:
        folder.require_fit(pipeline.config)
    present = present_modalities(drives.opened, modalities)
    total = sum(map(len, drives.opened))
    calibration = pipeline.backend.score_calibration
    scores, annotated = ModalityScores(pipeline, present, calibration), 0
    own = OwnMetrics(present, lambda source: metric_of(source, original))
    with ExitStack() as stack:
        file = None
        if submission is not None:
            require_submittable(drives.opened, present[0])
            file = SubmissionFile(submission.path, present[0], submission.is_external)
            stack.enter_context(file)
        for folder, record in _records(drives.opened):
            found = scores.run(labelled(record))
            annotated += record.attributes is not None
            own.add(folder.manifest.source, record, found)
            if file is not None:
                file.add(record.token, record.world_from_ego, found[present[0]])
            if progress is not None:
                progress(f'{record.scene} {record.token}', total)
    model = pipeline.model
    return Evaluation(
        model.name,
        model.hash,
        model.backend,
        drives.words,
        total,
        scores.results(),
        (*_attribute_note(annotated, total), *source_notes(drives.opened, original)),
        own.results(),
        model.calibrated_on,
    )


def present_modalities(
    folders: Sequence[RecordFolder], modalities: tuple[Modality, ...]
) -> tuple[Modality, ...]:
    """The modalities of which some record has all sensors.

    Raises:
        ConfigError: for none.
    """
    have = {Modality[entry.modality] for f in folders for entry in f.manifest.records}
    present = tuple(m for m in modalities if any(m & other == m for other in have))
    if not present:
        raise ConfigError(
            '--modality',
            f'one of {sorted(m.name for m in have)}, which the records have',
            str([m.name for m in modalities]),
        )
    return present


def _records(folders: Sequence[RecordFolder]) -> Iterator[tuple[RecordFolder, SampleRecord]]:
    return ((folder, read_record(path)) for folder in folders for path in folder.paths)


def _attribute_note(annotated: int, total: int) -> tuple[str, ...]:
    if annotated == total:
        return ('AAE is of annotated attributes, as in the nuScenes devkit',)
    if not annotated:
        return (BY_SPEED,)
    return (f'attributes are annotated in {annotated} of {total} records, else by true speed',)


def source_notes(folders: Sequence[RecordFolder], original: Path | None = None) -> tuple[str, ...]:
    """Licence, attribution and notes of the records' sources."""
    notes: list[str] = []
    for source in (folder.manifest.source for folder in folders):
        notes.append(f'{source.name}: {source.licence}; {source.attribution}')
        notes += [f'{source.name}: {note}' for note in source.notes]
        notes += missing_metric_notes(source, original)
    return tuple(dict.fromkeys(notes))
