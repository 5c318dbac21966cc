"""The matrix, the tests and the document agree: no row without a test or a reason."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(scope='module')
def tool(repo_root):
    spec = importlib.util.spec_from_file_location(
        'fault_matrix', repo_root / 'tools/fault_matrix.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_has_a_test_with_its_number_or_a_reason_and_the_document_says_so(
    tool, repo_root, capsys
):
    assert tool.main(['--check', '--root', str(repo_root)]) == 0, capsys.readouterr().out


def test_a_row_without_test_and_reason_and_a_test_without_row_are_found(tool, repo_root):
    rows, tests = tool.read_matrix(repo_root), tool.tests_by_row(repo_root)
    assert tool.offences(rows, tests) == []
    without = {row: names for row, names in tests.items() if row != 17}
    assert 'row 17' in tool.offences(rows, without)[0]
    assert 'no row 120' in tool.offences(rows, {**tests, 120: ['x::test_row_120_y']})[0]
    assert 'in order' in tool.offences(rows[1:], {k: v for k, v in tests.items() if k != 1})[0]
    proven_now = {**tests, 89: ['x::test_row_089_y']}
    assert 'row 89' in tool.offences(rows, proven_now)[0]


def test_a_name_may_bear_several_numbers(tool, tmp_path):
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'test_a.py').write_text(
        'def test_row_003_014_b():\n    pass\ndef test_row_3_c():\n    pass\n'
    )
    assert tool.tests_by_row(tmp_path) == {
        3: ['test_a.py::test_row_003_014_b'],
        14: ['test_a.py::test_row_003_014_b'],
    }
