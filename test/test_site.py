"""The documentation site: it is built without a warning, holds everything, and loads nothing."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from metabev_ros import wire
from metabev_ros.config import NodeConfig, parameters_of

# What lies between a message and an output.
ROOMS = ('pipeline', 'structures', 'config', 'sensing', 'preprocess', 'backends', 'postprocess')
ROOMS += ('outputs', 'wire', 'node')
# What a browser fetches by itself; links that a reader may follow are no such thing.
FETCHED = re.compile(
    r'<(?:script|img|iframe|source)[^>]*\ssrc="?(?:https?:)?//|'
    r'<link[^>]*\shref="?(?:https?:)?//|@import\s+(?:url\()?["\']?(?:https?:)?//|'
    r'url\(["\']?(?:https?:)?//'
)


@pytest.fixture(scope='module')
def site(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, built as `make site` does; a warning fails it."""
    if not importlib.util.find_spec('mkdocs'):
        pytest.skip('needs requirements/docs.txt (make setup-dev)')
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--site-dir', str(folder)]
    environment = {**os.environ, 'NO_MKDOCS_2_WARNING': '1'}  # news of the theme's makers
    done = subprocess.run(
        command, cwd=repo_root, env=environment, text=True, capture_output=True, timeout=500
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert 'WARNING' not in said, said[-3000:]
    return folder


def text_of(page: Path) -> str:
    """Return what a reader sees of a page."""
    body = page.read_text(encoding='utf-8').split('<article', 1)[1]
    return html.unescape(re.sub(r'<[^>]+>', '', body))


def test_every_page_of_the_documents_can_be_searched(repo_root: Path, site: Path) -> None:
    index = json.loads((site / 'search/search_index.json').read_text(encoding='utf-8'))
    places = {entry['location'].partition('#')[0] for entry in index['docs']}
    docs = repo_root / 'docs'
    for path in docs.rglob('*.md'):
        place = str(path.relative_to(docs).with_suffix('.html'))
        assert place.replace('README.html', 'index.html') in places, path
    assert {'index.html', 'notebooks/first_look.html', 'models/metabev_nano.html'} <= places


def test_every_parameter_topic_and_command_is_in_the_site(repo_root: Path, site: Path) -> None:
    parameters = text_of(site / 'parameters.html')
    names = [parameter.name for parameter in parameters_of(NodeConfig)]
    assert len(names) > 30 and [name for name in names if name not in parameters] == []
    topics = text_of(site / 'topics_and_parameters.html')
    page = (repo_root / 'docs/topics_and_parameters.md').read_text(encoding='utf-8')
    explained = ' '.join(re.findall(r'^\| (`.*?) \| ', page, re.M)).split('`')
    outputs = {**wire.OUTPUT_TYPES, **{t: o.msgtype for t, o in wire.standard_outputs().items()}}
    assert len(outputs) > 15
    for topic, msgtype in outputs.items():
        name = topic if topic.startswith('/') else f'~/{topic}'
        assert name in explained, name
        assert msgtype in topics or msgtype.rpartition('/')[2] in topics, msgtype
    commands = text_of(site / 'command_line.html')
    tool = runpy.run_path(str(repo_root / 'tools/command_docs.py'))
    typed = [name for name, _ in tool['all_commands']()]
    assert len(typed) > 20 and [name for name in typed if name not in commands] == []


def test_every_module_of_the_vehicle_is_in_the_reference(repo_root: Path, site: Path) -> None:
    for room in ROOMS:
        page = (site / f'api/{room}.html').read_text(encoding='utf-8')
        place = repo_root / 'metabev_ros' / room
        paths = place.rglob('*.py') if place.is_dir() else [place.with_suffix('.py')]
        for path in paths:
            name = '.'.join(path.relative_to(repo_root).with_suffix('').parts)
            is_shown = not path.name.startswith('_')
            assert not is_shown or f'id="{name}"' in page, name
    text = text_of(site / 'api/pipeline.html')
    assert 'preprocess, backend, postprocess' in text.replace('\N{NO-BREAK SPACE}', ' ')


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob('*.html'), *site.rglob('*.css')]
    assert len(pages) > 60
    assert [path for path in pages if FETCHED.search(path.read_text(encoding='utf-8'))] == []


@pytest.mark.parametrize(
    'offender',
    [
        '<script src="https://a.org/b.js">',
        '<link rel="stylesheet" href="//a.org/b.css">',
        '<img alt="x" src="http://a.org/b.png">',
        'x{background:url(https://a.org/b.png)}',
        '@import "https://a.org/b.css";',
    ],
)
def test_what_fetches_something_is_noticed(offender: str) -> None:
    assert FETCHED.search(offender)
    assert not FETCHED.search('<a href="https://a.org">a</a><script src="b.js">')


@pytest.mark.parametrize(
    ('place', 'link', 'in_site'),
    [
        ('index.md', '[a](docs/rig.md#lenses)', '[a](rig.md#lenses)'),
        ('index.md', '![a](docs/images/streets.jpg)', '![a](images/streets.jpg)'),
        ('rig.md', '[a](../config/rigs)', 'a'),
        (
            'rigs.md',
            '[`a`](../config/rigs/one_camera.yaml)',
            '[`a`](files/config/rigs/one_camera.yaml)',
        ),
        ('model.md', '[a](../models/metabev_nano/MODEL_CARD.md)', '[a](models/metabev_nano.md)'),
        ('models/metabev_nano.md', '[a](../../docs/model.md)', '[a](../model.md)'),
        ('results/demo.md', '[a](../reliability.md)', '[a](../reliability.md)'),
        ('notebooks/first_look.md', '[a](../robustness.md)', '[a](../robustness.md)'),
        ('faq.md', '[a](#b) [c](https://d.org/e)', '[a](#b) [c](https://d.org/e)'),
        ('faq.md', '```\n[a](../config/rigs)\n```', '```\n[a](../config/rigs)\n```'),
    ],
)
def test_links_lead_to_where_pages_lie_in_the_site(
    place: str, link: str, in_site: str, repo_root: Path
) -> None:
    hooks = runpy.run_path(str(repo_root / 'tools/site_hooks.py'))
    assert hooks['in_site'](link, place) == in_site
