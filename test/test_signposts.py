"""Citations lead somewhere that a reader can open: invariants, documents, papers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (
    'metabev_ros',
    'test',
    'docs',
    'benchmark',
    'tools',
    'config',
    'launch',
    'models',
    'msg',
    'requirements',
    'rviz',
)
TEXT = {
    '.py',
    '.md',
    '.rst',
    '.yaml',
    '.toml',
    '.txt',
    '.sh',
    '.cmake',
    '.msg',
    '.service',
    '.xml',
}

RULE_NUMBER = re.compile(r'\bR(?:1[01]|[1-9])\b|\b[AHIP](?:1[0-4]|[1-9])\b')
# The second camera's matrix and a metric over eleven steps of recall, as KITTI names them.
KITTI_NAME = re.compile(r'kitti\w*\.\w+:\d+: (P2|R11)$')
# A section of a file, or a paper without a name: papers and invariants are cited instead.
PRIVATE_SOURCE = re.compile(r'\.md (?:§ ?)?\d+(?:\.\d+)*|\bthe specification\b', re.I)
REGISTRY = re.compile(r'\b(?:pypi|pythonhosted|anaconda|npmjs|crates|rubygems)\.(?:org|com|io)\b')
QUOTED = r'"[^"\n]{3,40}"'
# Names in quotation marks after the word, each with a remark in parentheses or without.
CITATION = re.compile(
    rf'\binvariants? ((?:{QUOTED}(?: \([^)]*\))?(?:, and |, | and | or | to )?)+)', re.I
)
DOCUMENT = re.compile(r'\bdocs/[\w/]+\.md\b')
# A lower-case name: `metabev_ros/BevMap` is a message.
REPOSITORY_PATH = re.compile(
    r'`((?:metabev_ros|test|benchmark|tools|config|docs|launch)/[a-z][\w./-]*(?:/|\.\w+))`'
)
QUESTION = re.compile(r'(?:What|Which|Who|Whose|Where|When|How|Whether|Why)\b')


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield (path, content) of every text file of the repository but this one."""
    paths = [path for path in root.iterdir() if path.is_file()]
    for room in ROOMS:
        paths += (root / room).rglob('*')
    for path in sorted(paths):
        is_text = path.suffix in TEXT or path.name == 'Makefile'
        if is_text and path.is_file() and path != Path(__file__).resolve():
            yield path, path.read_text(encoding='utf-8')


def one_line(text: str) -> str:
    """Join lines, so that a citation that is wrapped in a comment or docstring is found."""
    return re.sub(r'\s*\n\s*(?:# ?)?', ' ', text)


def found(root: Path, pattern: re.Pattern[str], *, suffixes: set[str] = TEXT) -> list[str]:
    """Return 'path:line: match' of every match in the files of these kinds."""
    return [
        f'{path.relative_to(root)}:{number}: {match.group()}'
        for path, text in texts(root)
        if path.suffix in suffixes
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(line)
    ]


def invariants(root: Path) -> set[str]:
    """Return the names that docs/invariants.md defines."""
    return set(
        re.findall(r'^\| \*\*(.+?)\*\* \|', (root / 'docs/invariants.md').read_text(), re.M)
    )


def cited(text: str) -> set[str]:
    """Return the names of invariants that a text cites."""
    return {
        name
        for names in CITATION.findall(one_line(text))
        for name in re.findall(r'"(.+?)"', names)
    }


def questions(source: str) -> list[str]:
    """Return the docstrings of a module that begin like a question."""
    return [
        docstring
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and QUESTION.match(docstring := ast.get_docstring(node) or '')
    ]


def test_every_summary_begins_with_a_verb_or_a_noun_and_not_like_a_question(
    repo_root: Path,
) -> None:
    paths = [*(repo_root / 'metabev_ros').rglob('*.py')]
    assert len(paths) > 100
    assert {
        str(path.relative_to(repo_root)): offences
        for path in paths
        if (offences := questions(path.read_text(encoding='utf-8')))
    } == {}


@pytest.mark.parametrize(
    'owner', ['', 'class Door:\n ', 'def opens():\n ', 'async def opens():\n ']
)
def test_a_summary_that_begins_like_a_question_is_found(owner: str) -> None:
    assert questions(f'{owner}"""Whether it opens."""') == ['Whether it opens.']
    assert questions(f'{owner}"""Tell whether it opens. What then?"""') == []


def test_rules_are_cited_by_name_and_not_by_number(repo_root: Path) -> None:
    cited = found(repo_root, RULE_NUMBER, suffixes=TEXT - {'.txt'})
    assert [place for place in cited if not KITTI_NAME.search(place)] == []


def test_no_source_is_cited_that_a_reader_cannot_open(repo_root: Path) -> None:
    assert found(repo_root, PRIVATE_SOURCE) == []


def test_no_host_of_a_package_registry_is_named(repo_root: Path) -> None:
    assert found(repo_root, REGISTRY) == []


def test_every_cited_invariant_is_defined(repo_root: Path) -> None:
    defined = invariants(repo_root)
    assert len(defined) == 12
    unknown = {
        str(path.relative_to(repo_root)): cited(text) - defined
        for path, text in texts(repo_root)
        if cited(text) - defined
    }
    assert unknown == {}


def test_every_invariant_is_cited_by_the_code_or_by_a_test(repo_root: Path) -> None:
    python = [text for path, text in texts(repo_root) if path.suffix == '.py']
    assert invariants(repo_root) - set().union(*map(cited, python)) == set()


def test_every_document_that_is_named_exists(repo_root: Path) -> None:
    missing = {
        f'{path.relative_to(repo_root)}: {name}'
        for path, text in texts(repo_root)
        for name in DOCUMENT.findall(text)
        if not (repo_root / name).exists()
    }
    assert missing == set()


def test_every_path_of_the_repository_that_a_document_names_exists(repo_root: Path) -> None:
    missing = {
        f'{path.relative_to(repo_root)}: {name}'
        for path, text in texts(repo_root)
        if path.suffix == '.md'
        for name in REPOSITORY_PATH.findall(text)
        if not (repo_root / name).exists()
    }
    assert missing == set()


@pytest.mark.parametrize(
    ('pattern', 'offender'),
    [
        (RULE_NUMBER, '"""The label first (rule R1), then what it labels."""'),
        (RULE_NUMBER, '"""Checks P1 to P4 of the head."""'),
        (PRIVATE_SOURCE, '"""Swin Transformer, tiny (notes.md 1.1)."""'),
        (PRIVATE_SOURCE, '"""Tests H2 to H6 of the specification."""'),
        (REGISTRY, 'It needs pypi' + '.org.'),
        (DOCUMENT, 'see docs/supervision.md'),
    ],
)
def test_an_offender_is_found(pattern: re.Pattern[str], offender: str) -> None:
    assert pattern.search(offender)


def test_a_citation_that_is_wrapped_or_one_of_several_is_found() -> None:
    assert cited('''"""Hold invariants "Label first", "Nothing
    stale" and "Rising stamps"."""''') == {'Label first', 'Nothing stale', 'Rising stamps'}
    assert cited('# (invariant "Nothing\n# escapes")') == {'Nothing escapes'}
    assert cited('Invariants "A name" (row 1), "B name".') == {'A name', 'B name'}
    assert cited('"Label first" is a name') == set()
