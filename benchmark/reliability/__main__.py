"""Figures of reliability: each of these measures some and may record them.

    .venv/bin/metabev-env python benchmark/reliability --help
    .venv/bin/metabev-env python benchmark/reliability fuzz --record docs/results/reliability.json

Time is made up (the stamps' own) where it can be, so delays are exact and do not depend on the
machine; the drives and the check against the injected truth are those of the tests.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'test')]  # test/ for `support`: scripted and injected drives

from benchmark.reliability.figures import Figure  # noqa: E402
from metabev_ros.lab.evaluation.records import make_record, merge_records  # noqa: E402

app = typer.Typer(help=__doc__.splitlines()[0], no_args_is_help=True, add_completion=False)

Record = Annotated[Path | None, typer.Option(help='Merge the figures into this JSON file.')]
Seed = Annotated[int, typer.Option(help='Of everything that is drawn.')]
SEED = 20261


def report(figures: list[Figure], record: Path | None) -> None:
    """Print the figures, record them if asked; exit 1 where one misses its target."""
    command = shlex.join(['python', *sys.argv])
    records = [make_record(f.id, f.value, f.unit, command, f.n, f.target) for f in figures]
    for made in records:
        sys.stdout.write(
            f'{made.id}: {made.value:g} {made.unit} of {made.n} ({made.target or "no target"})\n'
        )
    if record:
        merge_records(record, records)
    raise typer.Exit(1 if any(made.met is False for made in records) else 0)


# Each measurement is imported when it is asked for: some need ROS, some set the environment.
@app.command()
def detection(
    seeds: Annotated[int, typer.Option(help='Random plans.')] = 100, record: Record = None
) -> None:
    """Delay until a death is labelled and until all is back; untrue outputs."""
    from benchmark.reliability.detection import detection

    report(detection(seeds), record)


@app.command()
def deaths(
    cycles: Annotated[int, typer.Option(help='Deaths of each source.')] = 50, record: Record = None
) -> None:
    """Deaths of sensors while the real node runs."""
    from benchmark.reliability.deaths import deaths

    report(deaths(cycles), record)


@app.command()
def clean(
    seeds: Annotated[int, typer.Option(help='Clean drives.')] = 100, record: Record = None
) -> None:
    """False alarms on clean drives."""
    from benchmark.reliability.detection import clean

    report(clean(seeds), record)


@app.command()
def labels(
    outputs: Annotated[int, typer.Option(help='To hold against the schedule.')] = 1_000_000,
    first: Annotated[int, typer.Option(help='Seed of the first rig.')] = 0,
    log: Annotated[
        Path, typer.Option(help='Counts of every seed; a run that was stopped goes on from it.')
    ] = ROOT / 'out/labels.jsonl',
    processes: Annotated[int, typer.Option(help='At a time.')] = 1,
    record: Record = None,
) -> None:
    """Labels of random rigs, rates, phases, latencies, faults and motions."""
    from benchmark.reliability.labels import labels

    report(labels(outputs, first, log, processes), record)


@app.command()
def truth(
    phases: Annotated[int, typer.Option(help='Of the period.')] = 20, record: Record = None
) -> None:
    """Share of each fault that is noticed, its delay, false alarms."""
    from benchmark.reliability.truth import detection_truth

    report(detection_truth(phases), record)


@app.command()
def fuzz(
    seed: Seed = SEED,
    small: Annotated[int, typer.Option(help='Blocks of 1000 messages.')] = 900,
    big: Annotated[int, typer.Option(help='The same with large payloads.')] = 100,
    block: Annotated[
        int | None, typer.Option(help='Repeat this block alone; with --small 0 a large one.')
    ] = None,
    record: Record = None,
) -> None:
    """Damaged messages, in the process."""
    from benchmark.reliability.fuzz import fuzz

    blocks = [(False, k) for k in range(small)] + [(True, k) for k in range(big)]
    if block is not None:
        blocks = [(big > 0 and not small, block)]
    report(fuzz(seed, blocks), record)


@app.command()
def fuzz_live(
    seed: Seed = SEED,
    messages: Annotated[int, typer.Option(help='Damaged messages.')] = 21_000,
    record: Record = None,
) -> None:
    """Damaged messages over DDS."""
    from benchmark.reliability.live import fuzz_live

    report(fuzz_live(messages, seed), record)


@app.command()
def floods(
    seconds: Annotated[float, typer.Option(help='Length of each flood.')] = 20.0,
    record: Record = None,
) -> None:
    """Huge messages and floods over DDS: heartbeat and memory of the running node."""
    from benchmark.reliability.floods import floods

    report(floods(seconds), record)


@app.command()
def single_failures(
    seconds: Annotated[float, typer.Option(help='Length of the drive.')] = 1.2,
    stride: Annotated[int, typer.Option(help='Try every n-th call only.')] = 1,
    record: Record = None,
) -> None:
    """Every site of the sensing path, made to fail at each of its calls."""
    from benchmark.reliability.teeth import single_failures

    report(single_failures(seconds, stride), record)


@app.command()
def soak(
    frames: Annotated[int, typer.Option(help='Sweeps.')] = 864_000, record: Record = None
) -> None:
    """Memory, files and threads over a day, accelerated."""
    from benchmark.reliability.soak import soak

    report(soak(frames), record)


@app.command()
def endurance(
    minutes: Annotated[int, typer.Option(help='Of real time.')] = 10, record: Record = None
) -> None:
    """Memory, files and threads of the real node."""
    from benchmark.reliability.endurance import endurance

    report(endurance(minutes), record)


@app.command()
def replay(seed: Seed = SEED, record: Record = None) -> None:
    """Ticks without an output, and replays that give other bytes."""
    from benchmark.reliability.replays import replay

    report(replay(seed), record)


@app.command()
def restart(
    cycles: Annotated[int, typer.Option(help='Kills.')] = 50,
    seed: Seed = SEED,
    record: Record = None,
) -> None:
    """The node is killed at any moment and started again."""
    from benchmark.reliability.live import restart

    report(restart(cycles, seed), record)


@app.command()
def shutdown(
    cycles: Annotated[int, typer.Option(help='Writers of bags that are killed.')] = 50,
    seed: Seed = SEED,
    record: Record = None,
) -> None:
    """Stops in the middle of the data."""
    from benchmark.reliability.live import shutdown

    report(shutdown(cycles, seed), record)


@app.command()
def overload(
    seconds: Annotated[float, typer.Option(help='Under load.')] = 60.0, record: Record = None
) -> None:
    """One core, shared with busy processes."""
    from benchmark.reliability.live import overload

    report(overload(seconds), record)


@app.command()
def mutants(
    only: Annotated[
        list[str] | None, typer.Option(help='Id of a guard in benchmark/guards.yaml; repeatable.')
    ] = None,
    record: Record = None,
) -> None:
    """Each guard switched off must make one of its named tests fail."""
    from benchmark.reliability.teeth import mutants

    if only and record:
        raise typer.BadParameter('the figure is of all mutants: record without --only')
    report(mutants(only or []), record)


@app.command()
def coverage(record: Record = None) -> None:
    """Lines and branches that `make coverage` has just reached."""
    from benchmark.reliability.teeth import coverage

    report(coverage(), record)


@app.command()
def cost(
    outputs: Annotated[int, typer.Option(help='How many are timed.')] = 2000,
    seed: Seed = SEED,
    record: Record = None,
) -> None:
    """Processor time of the checks of content."""
    from benchmark.reliability.checks import cost

    report(cost(outputs, seed), record)


@app.command()
def log_volume(
    minutes: Annotated[int, typer.Option(help='Of made-up time.')] = 10, record: Record = None
) -> None:
    """Lines in the log while a fault lasts."""
    from benchmark.reliability.volume import log_volume

    report(log_volume(minutes), record)


@app.command()
def alarms(
    outputs: Annotated[int, typer.Option(help='How many are judged.')] = 2000,
    seed: Seed = SEED,
    record: Record = None,
) -> None:
    """False alarms of each check of content."""
    from benchmark.reliability.checks import alarms

    report(alarms(outputs, seed), record)


if __name__ == '__main__':
    app()
