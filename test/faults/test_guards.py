"""The mutants of benchmark/guards.yaml: each finds its guard; the nightly run lets them loose."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from benchmark.reliability.guards import AnchorError, Guard, read_guards

SOURCE = """
LIMIT = 3


class Door:
    def opens(self, size):
        if (
            size
            > LIMIT  # a comment
        ):
            raise ValueError("wide")
        return 'é' and size > 1 and size > 1
"""
GUARD = Guard('width', 'door.py', 'Door.opens', 'size>LIMIT', 'False', 'test_door.py', 'row_001')


def test_every_guard_is_found_once_and_its_mutant_is_another_program(repo_root):
    guards = read_guards(repo_root / 'benchmark/guards.yaml')
    assert len(guards) >= 64
    for guard in guards:
        source = (repo_root / 'metabev_ros' / guard.file).read_text(encoding='utf-8')
        assert ast.dump(ast.parse(guard.mutate(source))) != ast.dump(ast.parse(source)), guard.id


def test_the_tests_that_a_guard_names_exist(repo_root):
    for guard in read_guards(repo_root / 'benchmark/guards.yaml'):
        text = (repo_root / guard.tests).read_text(encoding='utf-8')
        assert any(row in text for row in guard.rows.split(' or ')), guard.id


def test_the_expression_is_replaced_however_it_is_written_and_nothing_else_is():
    mutant = GUARD.mutate(SOURCE)
    assert 'if (\n            (False)  # a comment\n        ):' in mutant
    assert mutant.replace('(False)', 'size\n            > LIMIT') == SOURCE


def test_the_condition_of_an_if_is_told_from_the_same_expression_elsewhere():
    source = SOURCE.replace('size > 1 and', 'size > LIMIT and')
    with pytest.raises(AnchorError, match='2 times'):
        GUARD.mutate(source)
    assert 'size > LIMIT and' in replace(GUARD, code='if size > LIMIT').mutate(source)


def test_an_assigned_name_is_an_anchor_too():
    guard = replace(GUARD, function='LIMIT', code='3', instead='30')
    assert 'LIMIT = (30)\n' in guard.mutate(SOURCE)


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (
            {'function': 'Door.closes'},
            'one definition of Door.closes in metabev_ros/door.py',
        ),
        ({'code': 'size < LIMIT'}, '`size < LIMIT` once in Door.opens'),
        ({'code': 'size > 1'}, 'got 2 times'),
    ],
)
def test_a_guard_that_has_moved_is_an_error_that_says_where_it_was_sought(change, expected):
    with pytest.raises(AnchorError, match="guard 'width'.*correct its entry") as caught:
        replace(GUARD, **change).mutate(SOURCE)
    assert expected in str(caught.value)


def test_an_id_given_twice_is_refused(tmp_path):
    entry = '- {id: a, file: f, function: g, code: c, instead: i, tests: t, rows: r}\n'
    (tmp_path / 'guards.yaml').write_text(entry * 2)
    with pytest.raises(AnchorError, match="'a' is listed twice"):
        read_guards(tmp_path / 'guards.yaml')
