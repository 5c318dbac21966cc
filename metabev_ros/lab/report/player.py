"""The film of a page and the script that moves everything together."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from metabev_ros.lab.report.gathering import FilmTimes
from metabev_ros.pages.parts import as_json, picture_address
from metabev_ros.pages.scripts import PLAYER, SENSOR_TABLE

EMBEDDED_LIMIT = 24 * 2**20  # bytes of a film inside of a page; a longer one lies beside it


@dataclass(frozen=True)
class Film:
    """A film as a page has it.

    Attributes:
        address: `data:...`, or the name of a file beside the page.
        poster: (H, W, 3) uint8 RGB, shown before it plays; None: its first picture.
        title: above it; '' for none.
    """

    address: str
    poster: np.ndarray | None
    title: str = ''


def film_address(film: Path, page: Path, number: int = 0) -> str:
    """The address of a film for a page; a large one is moved beside it, or stays where it is.

    Args:
        film: the file; one of another folder may be gone afterwards.
        number: of the film in the page.
    """
    if film.stat().st_size <= EMBEDDED_LIMIT:
        return f'data:video/mp4;base64,{base64.b64encode(film.read_bytes()).decode()}'
    beside = film if film.parent == page.parent else film_beside(page, number)
    film.replace(beside)
    return quote(beside.name)


def film_beside(page: Path, number: int) -> Path:
    """The place of a film that is too large for its page."""
    return page.with_name(f'{page.stem}{f".{number}" if number else ""}.mp4')


def film_part(films: Sequence[Film], caption: str) -> str:
    """The films with their caption."""
    shown = ''.join(
        '<figure>'
        + (f'<h3>{html.escape(film.title)}</h3>' if film.title else '')
        + '<video controls muted loop playsinline preload="auto"'
        + ('' if film.poster is None else f' poster="{picture_address(film.poster)}"')
        + f' src="{html.escape(film.address)}"></video></figure>'
        for film in films
    )
    whole = f'<div class="two">{shown}</div>' if len(films) > 1 else shown
    return f'{whole}<p class="soft">{html.escape(caption)}</p>'


def player_part(
    times: FilmTimes, runs: Sequence[object], cursors: Sequence[str], poster: int = 0
) -> str:
    """The script, and the states that it shows.

    Args:
        times: of the films' pictures.
        runs: plain data: `statuses`, and for each picture `at` which of them (-1: none).
        cursors: names of the lines that the timeline moves.
        poster: picture whose moment is shown before the film plays.
    """
    data = {
        'rate': times.rate_hz,
        'ticks': times.count,
        'poster': poster,
        'cursors': list(cursors),
        'runs': list(runs),
    }
    return (
        f'<script type="application/json" id="moments">{as_json(data)}</script>'
        f'<script>{SENSOR_TABLE}{PLAYER}</script>'
    )
