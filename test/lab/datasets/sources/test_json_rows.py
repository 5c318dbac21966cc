"""JSON lists that are read row by row."""

from __future__ import annotations

import json

import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.datasets.sources import json_rows
from metabev_ros.lab.datasets.sources.json_rows import (
    number,
    numbers,
    read_json,
    read_rows,
    text,
    texts,
    whole,
)


def rows_of(tmp_path, content: str | bytes) -> list:
    path = tmp_path / 'rows.json'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path))


@pytest.mark.parametrize('indent', [None, 0, 4])
@pytest.mark.parametrize('chunk', [1, 2, 7, 64, 1 << 20])
def test_rows_do_not_depend_on_the_pieces_in_which_the_file_is_read(
    tmp_path, monkeypatch, indent, chunk
):
    monkeypatch.setattr(json_rows, '_CHUNK', chunk)
    rows = [{'a': i, 'b': [1.5, -2e-3, 'x]},{"ü'], 'c': {'d': None}} for i in range(12)]
    assert rows_of(tmp_path, json.dumps(rows, indent=indent)) == rows


@pytest.mark.parametrize('content', ['[]', ' [ ] \n', '[{}]', '\t[{} ,\r\n {}]'])
def test_space_does_not_matter(tmp_path, content):
    assert rows_of(tmp_path, content) == json.loads(content)


@pytest.mark.parametrize(
    'content',
    ['', ' ', '{}', '[', '[{}', '[{},', '[{},]', '[,]', '[{}}', '[{} {}]', '[{}] x', '[{}][]']
    + ['[1]', '["a"]', '[[]]', '[null]', '[{"a": }]', '[{"a": 1]', 'no', b'[{"a": "\xff"}]']
    + ['\ufeff[]', pytest.param('[' * 9999, id='deep'), pytest.param('[{"a":' * 9999, id='row')],
)
def test_what_is_no_list_of_objects_is_damaged(tmp_path, content):
    with pytest.raises(ConfigError, match='damaged') as caught:
        rows_of(tmp_path, content)
    assert 'rows.json' in str(caught.value) and len(str(caught.value)) < 500


def test_rows_before_the_damage_are_given_and_counted(tmp_path):
    path = tmp_path / 'rows.json'
    path.write_text('[{"a": 1}, {"a": 2}, {"a"')
    rows = read_rows(path)
    assert [next(rows), next(rows)] == [{'a': 1}, {'a': 2}]
    with pytest.raises(ConfigError, match='after row 2'):
        next(rows)


def test_a_row_without_an_end_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, '_CHUNK', 100)
    monkeypatch.setattr(json_rows, '_ROW_LIMIT', 1000)
    path = tmp_path / 'rows.json'
    path.write_text('[{"a": "' + 'x' * 1_000_000)
    with open(path, encoding='utf-8') as file:
        rows = json_rows._Rows(file)
        rows.expect('[')
        with pytest.raises(ValueError):
            rows.take()
        assert file.tell() < 10_000


def test_a_missing_file_is_named(tmp_path):
    for read in (read_json, lambda path: list(read_rows(path))):
        with pytest.raises(ConfigError, match='no such file'):
            read(tmp_path / 'none.json')


@pytest.mark.parametrize('content', ['', '{', '{"a": 1}}', pytest.param('[' * 9999, id='deep')])
def test_a_file_that_is_no_json_is_damaged(tmp_path, content):
    (tmp_path / 'a.json').write_text(content)
    with pytest.raises(ConfigError, match='damaged'):
        read_json(tmp_path / 'a.json')


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, '_FILE_LIMIT', 5)
    (tmp_path / 'a.json').write_text('[1, 2, 3]')
    with pytest.raises(ConfigError, match='at most 5 bytes'):
        read_json(tmp_path / 'a.json')


@pytest.mark.parametrize(
    ('parse', 'good', 'bad'),
    [
        (text, 'a', [1, None, ['a'], 'x' * 513]),
        (texts, ['a', 'b'], ['ab', [1], None]),
        (whole, -5, [1.0, True, '1', None, 2**63, 10**400]),
        (number, 1, [True, '1', None, float('nan'), float('inf'), 1e12, 10**400]),
        (
            lambda v: numbers(v, 2),
            [1, 2.5],
            [[1], [1, 2, 3], [1, 'a'], 'ab', 5, [1, float('nan')]],
        ),
    ],
)
def test_values_are_of_the_kind_that_is_asked_for(parse, good, bad):
    found = parse(good)
    assert found == (tuple(good) if isinstance(good, list) else good)
    for value in bad:
        with pytest.raises(ValueError):
            parse(value)
