"""The worst moments of a run: what somebody who looks for trouble would look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metabev_ros.lab.report.quality import Count
from metabev_ros.lab.report.recording import Recording

SILENCE_PERIODS = 3.0  # of the outputs; a shorter pause is none
CHANGES_TOLD = 4
STILLS = 10  # instants with large pictures, the worst moments among them


@dataclass(frozen=True)
class Moment:
    """One instant worth a look.

    Attributes:
        seconds: since the node's first word.
        title: what it is; why: the figures.
        index: the output to be shown; None where there is none.
    """

    seconds: float
    title: str
    why: str
    index: int | None


def worst_moments(recording: Recording) -> list[Moment]:
    """The moments that the labels alone tell of, without a look at boxes and maps."""
    found = [
        _longest_silence(recording),
        _slowest(recording),
        _oldest_data(recording),
        _fewest_sensors(recording),
    ]
    return [moment for moment in found if moment is not None] + _changes(recording)


def worst_against_truth(recording: Recording, counts: Mapping[int, Count]) -> list[Moment]:
    """The output that missed most, and the one with most boxes that are none."""
    found: list[Moment] = []
    if not counts:
        return found
    missed = max(counts, key=lambda index: (counts[index].missed, -index))
    wrong = max(counts, key=lambda index: (counts[index].wrong, -index))
    if counts[missed].missed:
        text = f'{counts[missed].missed} of {counts[missed].missed + counts[missed].found} objects'
        found.append(_at(recording, missed, 'Most objects missed', text))
    if counts[wrong].wrong:
        found.append(
            _at(recording, wrong, 'Most boxes without an object', f'{counts[wrong].wrong} boxes')
        )
    return found


def still_indices(recording: Recording, worst: Sequence[Moment]) -> list[int]:
    """Outputs that get large pictures: of the worst moments, and others at equal distance."""
    chosen = {moment.index for moment in worst if moment.index is not None}
    count = len(recording.outputs)
    free = max(STILLS - len(chosen), 2)
    chosen |= (
        {round((count - 1) * (step + 0.5) / free) for step in range(free)} if count else set()
    )
    return sorted(chosen)


def _at(recording: Recording, index: int, title: str, why: str) -> Moment:
    return Moment(recording.seconds(recording.outputs[index].wall_ns), title, why, index)


def _longest_silence(recording: Recording) -> Moment | None:
    walls = [recording.begin_ns, *(o.wall_ns for o in recording.outputs), recording.end_ns]
    gaps = [later - earlier for earlier, later in zip(walls, walls[1:], strict=False)]
    longest = max(range(len(gaps)), key=lambda number: gaps[number])
    if gaps[longest] < SILENCE_PERIODS * recording.period_ns:
        return None
    seconds = recording.seconds(walls[longest] + gaps[longest] // 2)
    beat = recording.last_beat(walls[longest] + gaps[longest] // 2)
    ill = [] if beat is None else [f'{s.name} {s.state.name}' for s in beat.sensors if s.state]
    why = f'{gaps[longest] * 1e-9:.1f} s without an output'
    return Moment(
        seconds, 'Longest silence', '; '.join([why, ', '.join(ill[:4])]).rstrip('; '), None
    )


def _slowest(recording: Recording) -> Moment | None:
    labels = [recording.label(index) for index in range(len(recording.outputs))]
    times = {i: s.latency_s for i, s in enumerate(labels) if s is not None and s.latency_s > 0}
    if not times:
        return None
    index = max(times, key=lambda number: times[number])
    return _at(recording, index, 'Slowest output', f'{1e3 * times[index]:.0f} ms after its stamp')


def _oldest_data(recording: Recording) -> Moment | None:
    ages = [
        (age, index, name)
        for index, output in enumerate(recording.outputs)
        for name, age in output.ages_ns.items()
    ]
    if not ages:
        return None
    age, index, name = max(ages, key=lambda item: item[0])
    if age <= 0:
        return None
    return _at(recording, index, 'Oldest data in an output', f'{name}, {age / 1e6:.0f} ms old')


def _fewest_sensors(recording: Recording) -> Moment | None:
    counts = [len(output.sensors) for output in recording.outputs]
    if not counts or min(counts) == max(counts):
        return None
    least = min(counts)
    first = counts.index(least)
    last = first
    while last + 1 < len(counts) and counts[last + 1] == least:
        last += 1
    index, total = (first + last) // 2, len(recording.sensor_names)
    output = recording.outputs[index]
    why = f'{least} of {total}: {", ".join(sorted(output.sensors)[:4])}'
    return _at(recording, index, f'Fewest sensors, labelled {output.modality.name}', why)


def _changes(recording: Recording) -> list[Moment]:
    """The first outputs that had less than the one before."""
    found: list[Moment] = []
    for index in range(1, len(recording.outputs)):
        before, now = recording.outputs[index - 1], recording.outputs[index]
        lost = sorted(before.sensors - now.sensors)
        if before.modality & ~now.modality and lost:
            title = f'{before.modality.name} becomes {now.modality.name}'
            found.append(_at(recording, index, title, f'without {", ".join(lost[:4])}'))
    return found[:CHANGES_TOLD]
