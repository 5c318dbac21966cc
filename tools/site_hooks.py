"""Pages and links of the documentation site that docs/ alone does not give; mkdocs calls this.

The README is its first page; model cards, CONTRIBUTING.md and SECURITY.md are pages too, and so
are the notebook and the reference of the rooms of the vehicle, which mkdocstrings fills. Files of
the checkout that a page links to lie below `files/`; a link to a folder becomes its text.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = 'notebooks/first_look.ipynb'
ROOMS = {  # in the order of the data's way; a module or a package of metabev_ros
    'pipeline': 'A model, from a sample to what is perceived',
    'structures': 'Samples, results and labels',
    'config': 'Configurations of model, rig, node and sensing',
    'sensing': 'Messages to samples',
    'preprocess': "A sample to the network's inputs",
    'backends': 'Runtimes and engines',
    'postprocess': "The network's outputs to boxes and a map",
    'outputs': 'Results to messages',
    'wire': 'ROS messages as bytes, without ROS',
    'node': 'The node, with ROS',
}
FENCE = re.compile(r'(^```.*?^```$)', re.S | re.M)
LINK = re.compile(r'\]\(([^)\s]+)\)')


def moved() -> dict[str, str]:
    """Page in the checkout, outside of docs/ -> its place in the site."""
    cards = sorted((ROOT / 'models').glob('*/MODEL_CARD.md'))
    return {
        'README.md': 'index.md',
        'CONTRIBUTING.md': 'contributing.md',
        'SECURITY.md': 'reporting.md',
        **{
            f'models/{card.parent.name}/{card.name}': f'models/{card.parent.name}.md'
            for card in cards
        },
    }


def source_of(place: str) -> str:
    """Path in the checkout of a page of the site."""
    if place == NOTEBOOK.replace('.ipynb', '.md'):
        return f'docs/{NOTEBOOK}'
    return {to: source for source, to in moved().items()}.get(place, f'docs/{place}')


def place_of(path: str) -> str | None:
    """Place in the site of a path of the checkout; None for a folder."""
    if path.startswith('docs/'):
        return path.removeprefix('docs/')
    if path in moved():
        return moved()[path]
    return f'files/{path}' if (ROOT / path).is_file() else None


def targets(markdown: str, source: str) -> dict[str, str]:
    """Relative link of a page -> the path in the checkout that it leads to."""
    links = {link for part in FENCE.split(markdown)[::2] for link in LINK.findall(part)}
    paths = {link: link.partition('#')[0] for link in links if '://' not in link}
    folder = posixpath.dirname(source)
    return {
        link: posixpath.normpath(posixpath.join(folder, path))
        for link, path in paths.items()
        if path
    }


def in_site(markdown: str, place: str) -> str:
    """The text of a page with links as they are in the site."""
    known = targets(markdown, source_of(place))

    def renewed(found: re.Match[str]) -> str:
        link = found[2]
        if link not in known:
            return found[0]
        to = place_of(known[link])
        if to is None:
            return found[1]
        anchor = link.partition('#')[2]
        path = posixpath.relpath(to, posixpath.dirname(place) or '.')
        return f'[{found[1]}]({path}{"#" + anchor if anchor else ""})'

    parts = FENCE.split(markdown)
    link_with_text = re.compile(r'\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\(([^)\s]+)\)')
    parts[::2] = [link_with_text.sub(renewed, part) for part in parts[::2]]
    return ''.join(parts)


def notebook_page(text: str) -> str:
    """A notebook as a page: its cells in order, without outputs."""
    cells = [(cell['cell_type'], ''.join(cell['source'])) for cell in json.loads(text)['cells']]
    return '\n\n'.join(
        f'```python\n{source}\n```' if kind == 'code' else source for kind, source in cells
    )


def room_page(room: str) -> str:
    """The reference of a room: a directive for each of its modules."""
    folder = ROOT / 'metabev_ros' / room
    modules = [f'metabev_ros.{room}']
    if folder.is_dir():
        paths = sorted(p for p in folder.rglob('*.py') if not p.name.startswith('_'))
        modules = ['.'.join(p.relative_to(ROOT).with_suffix('').parts) for p in paths]
    return f'# {room}\n\n{ROOMS[room]}.\n' + ''.join(
        f'\n::: {name}\n    options: {{heading_level: 2}}\n' for name in modules
    )


def index_page() -> str:
    """The list of rooms."""
    rows = ''.join(f'| [{room}]({room}.md) | {text} |\n' for room, text in ROOMS.items())
    return (
        '# Interface in Python\n\nFrom the docstrings of what runs on the vehicle: shapes, units, '
        f'frames, and what is raised.\n\n| room | what it does |\n|---|---|\n{rows}'
    )


def made_pages() -> dict[str, str]:
    """Place in the site -> text of the pages that do not lie in docs/."""
    pages = {to: (ROOT / source).read_text(encoding='utf-8') for source, to in moved().items()}
    pages |= {f'api/{room}.md': room_page(room) for room in ROOMS}
    pages['api/index.md'] = index_page()
    notebook = (ROOT / 'docs' / NOTEBOOK).read_text(encoding='utf-8')
    pages[NOTEBOOK.replace('.ipynb', '.md')] = notebook_page(notebook)
    return pages


def linked_files(pages: dict[str, str]) -> set[str]:
    """Files of the checkout, outside of docs/, that pages link to."""
    paths = {
        path for place, text in pages.items() for path in targets(text, source_of(place)).values()
    }
    return {path for path in paths if (place_of(path) or '').startswith('files/')}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that docs/ does not hold."""
    from mkdocs.structure.files import File

    made = made_pages()
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for path in sorted(linked_files(written)):
        files.append(File.generated(config, f'files/{path}', abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give a page the links of the site."""
    return in_site(markdown, page.file.src_uri)
