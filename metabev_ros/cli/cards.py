"""Robustness cards: written out of results, shown side by side, held to gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from metabev_ros.cli.app import app, console, examples, model_dir
from metabev_ros.cli.results import ForceOption, JsonOption, require_free, say_json
from metabev_ros.errors import ConfigError, OutputError, clean_text
from metabev_ros.files import write_text
from metabev_ros.lab.evaluation.card_gates import Gate, Verdict, judge, junit
from metabev_ros.lab.evaluation.model_results import SETTING_OF, ModelResults
from metabev_ros.lab.evaluation.robustness_card import CARD, RobustnessCard, read_what_if
from metabev_ros.pipeline import Pipeline

SHOWN = ('nds', 'nds_retention', 'miou', 'miou_retention', 'detection_ece')


@app.command(epilog=examples('metabev card models/mine --from out/mine/mine.json'))
def card(
    model: Annotated[
        Path,
        typer.Argument(metavar='NAME|FOLDER', help='One of `metabev models`, or a model folder.'),
    ],
    results: Annotated[
        Path,
        typer.Option('--from', help='NAME.json that `metabev evaluate --settings` wrote.'),
    ],
    what_if: Annotated[
        Path | None,
        typer.Option(help='File of `metabev what-if --json`: adds times to the right label.'),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option('--out', '-o', help=f'Card to write; default: {CARD} beside the model.'),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the robustness card of a model: what it keeps under each failure that was measured.

    The results are those of `metabev evaluate --settings`.
    """
    folder = model_dir(model)
    path = out or folder / CARD
    require_free(force, path, inputs=(results,))
    loaded = ModelResults.load(results)
    info = Pipeline.load(folder, loaded.backend, threads=1).model
    if info.hash != loaded.model_hash:
        raise ConfigError(
            f'{results}',
            f'results of {folder} ({info.hash})',
            f'those of {clean_text(loaded.model)} ({clean_text(loaded.model_hash)})',
            'evaluate this model: metabev evaluate --settings',
        )
    made = RobustnessCard.make(
        loaded, None if what_if is None else read_what_if(what_if, info.hash)
    )
    try:
        made.save(path)
    except OSError as error:
        raise OutputError.of(path, error) from error
    console.print(f'written: {path} ({len(made.settings)} settings)', markup=False)
    if as_json:
        say_json({'written': [path], 'card': made})


def compare_cards(
    paths: Sequence[Path], gates: Sequence[Gate], report: Path | None, as_json: bool
) -> bool:
    """Print cards side by side and their verdicts; tell whether every gate is passed."""
    require_free(True, report, inputs=paths)
    cards = [RobustnessCard.load(path) for path in paths]
    verdicts = judge(cards, gates)
    console.print(_table(cards))
    if len({one.data for one in cards}) > 1:
        console.print('measured on different data: the figures do not compare', markup=False)
    for one in cards:
        console.print(f'{clean_text(one.name)}: {clean_text(one.data, 300)}', markup=False)
    for verdict in verdicts:
        _say(verdict)
    if report is not None:
        try:
            write_text(report, junit(verdicts))
        except OSError as error:
            raise OutputError.of(report, error) from error
        console.print(f'written: {report}', markup=False)
    if as_json:
        say_json({'cards': cards, 'verdicts': [_plain(verdict) for verdict in verdicts]})
    return all(verdict.is_passed for verdict in verdicts)


def _plain(verdict: Verdict) -> dict[str, object]:
    words = {'card': verdict.card, 'limit': verdict.gate.words, 'is_passed': verdict.is_passed}
    return {**words, 'value': verdict.value}


def _say(verdict: Verdict) -> None:
    mark = 'passed' if verdict.is_passed else 'MISSED'
    name, words = clean_text(verdict.card), clean_text(verdict.gate.words, 200)
    console.print(f'{mark}: {name}: {words} ({verdict.value_text})', markup=False)


def _table(cards: Sequence[RobustnessCard]) -> Table:
    """Figures by setting, in the order of the suite; what a card lacks is a dash."""
    table = Table()
    table.add_column('setting')
    table.add_column('figure', no_wrap=True)
    for one in cards:
        table.add_column(clean_text(one.name).replace('[', '\\['), justify='right')
    for setting in [s for s in SETTING_OF if any(s in one.settings for one in cards)]:
        title = f'{setting}: {SETTING_OF[setting].words}'
        for figure in SHOWN:
            values = [one.settings.get(setting, {}).get(figure) for one in cards]
            if any(value is not None for value in values):
                cells = ['-' if value is None else f'{value:.3f}' for value in values]
                table.add_row(title, figure, *cells)
                title = ''
    worst = [one.figure('label.worst') for one in cards]
    if any(value is not None for value in worst):
        cells = ['-' if value is None else f'{value:.2f} s' for value in worst]
        table.add_row('right label', 'slowest', *cells)
    return table
