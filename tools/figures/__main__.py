"""Draw the pictures of the documentation, one subcommand a picture.

    .venv/bin/metabev-env python tools/figures reliability
    .venv/bin/metabev-env python tools/figures --help

The pictures of robustness are made by `metabev evaluate`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / 'test'), str(ROOT / 'tools')]  # test/ for `support`
IMAGES = ROOT / 'docs' / 'images'

app = typer.Typer(help=__doc__.splitlines()[0], no_args_is_help=True, add_completion=False)

Out = Annotated[Path, typer.Option(help='Where the picture goes.')]


# Each picture imports what it needs when it is asked for: some need torch, some the tests' drives.
@app.command()
def training_ablations(out: Out = IMAGES / 'robustness' / 'ablations.png') -> None:
    """Variants of the training beside base, from docs/results/robustness.json."""
    from figures.measured import draw_training_ablations

    draw_training_ablations(out)


@app.command()
def reliability(out: Out = IMAGES / 'reliability.png') -> None:
    """Figures beside their bounds, from docs/results/reliability.json."""
    from figures.measured import draw_reliability

    draw_reliability(out)


@app.command()
def training_curves(
    log: Annotated[Path, typer.Argument(help='log.jsonl of a run.')],
    out: Out = IMAGES / 'training_curves.png',
) -> None:
    """The loss terms of a training."""
    from figures.measured import draw_training_curves

    draw_training_curves(log, out)


@app.command()
def fault_timeline(
    plan: Annotated[str, typer.Argument(help='Name or file of a fault plan.')] = 'bad_day',
    out: Out = IMAGES / 'fault_timeline.png',
) -> None:
    """A fault plan and what the sensing made of it."""
    from figures.drives import draw_fault_timeline

    draw_fault_timeline(plan, out)


@app.command()
def modalities(
    seed: Annotated[int, typer.Argument(help='Of the held-out drive.')] = 900_300,
    out: Out = IMAGES / 'modalities.jpg',
) -> None:
    """One instant with all sensors and without some."""
    from figures.drives import draw_modalities

    draw_modalities(seed, out)


@app.command()
def sensor_dies(
    seed: Annotated[int, typer.Argument(help='Of the held-out drive.')] = 900_000,
    out: Out = IMAGES / 'sensor_dies.webp',
) -> None:
    """The moving picture of the README: a replay in which sensors die and come back."""
    from figures.film import draw_sensor_dies

    draw_sensor_dies(seed, out)


@app.command()
def hornet(out: Out = IMAGES / 'hornet.png') -> None:
    """What one output cell of gnConv sees."""
    from figures.networks import draw_hornet

    draw_hornet(out)


@app.command()
def inter_task(
    model: Annotated[Path, typer.Argument(help='Folder of a network with inter-task attention.')],
    out: Out = IMAGES / 'inter_task_attention.png',
) -> None:
    """Where inter-task attention looks, and what it costs."""
    from figures.networks import draw_inter_task

    draw_inter_task(model, out)


@app.command()
def plain_detr(out: Out = IMAGES / 'plain_detr' / 'attention.png') -> None:
    """What queries look at with BoxRPB and without; trains on toy scenes and records figures."""
    from figures.plain_detr import draw_plain_detr

    draw_plain_detr(out)


@app.command()
def street(
    seed: Annotated[int, typer.Argument(help='Of the world.')] = 2,
    style: Annotated[str, typer.Option(help='Kind of place.')] = 'residential',
    weather: Annotated[str, typer.Option(help='sunny, overcast, dusk, night or rain.')] = 'sunny',
    second: Annotated[float, typer.Option(help='Of the drive.')] = 4.0,
    camera: Annotated[str, typer.Option(help='Of the synthetic rig.')] = 'CAM_FRONT',
    out: Out = IMAGES / 'street.jpg',
) -> None:
    """What a camera of the simulated world sees."""
    from figures.street import draw_street
    from metabev_ros.lab.datasets.synthetic.config import Weather
    from metabev_ros.lab.simulation.style import Style

    draw_street(seed, Style(style), Weather(weather), second, camera, out)


@app.command()
def streets(out: Out = IMAGES / 'streets.jpg') -> None:
    """The simulated world by day, at night, in rain and at dusk."""
    from figures.street import draw_streets

    draw_streets(out)


@app.command()
def lidar_views(
    keyframe: Annotated[Path, typer.Argument(help='Folder of a key frame of nuScenes.')],
    seed: Annotated[int, typer.Option(help='Of the world.')] = 3,
    style: Annotated[str, typer.Option(help='Kind of place.')] = 'residential',
    second: Annotated[float, typer.Option(help='Of the drive.')] = 4.0,
    out: Out = IMAGES / 'lidar_views.png',
) -> None:
    """A simulated sweep beside a real one, from above."""
    from figures.lidar_views import draw_lidar_views
    from metabev_ros.lab.simulation.style import Style

    draw_lidar_views(keyframe, seed, Style(style), second, out)


@app.command()
def views(
    seed: Annotated[int, typer.Argument(help='Of the held-out drive.')] = 900_300,
    out: Out = IMAGES / 'views.jpg',
) -> None:
    """What the displays of RViz and Foxglove show, drawn from a replay's messages."""
    from figures.views import draw_views

    draw_views(seed, out)


if __name__ == '__main__':
    app()
