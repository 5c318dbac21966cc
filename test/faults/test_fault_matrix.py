"""The matrix, the tests and the document agree: no row without a test or a reason."""

from __future__ import annotations

import fault_matrix
import pytest


def test_every_row_has_a_test_with_its_number_or_a_reason_and_the_document_says_so(repo_root):
    rows, tests = fault_matrix.read_matrix(repo_root), fault_matrix.tests_by_row(repo_root)
    assert fault_matrix.offences(rows, tests) == []
    page = repo_root / 'docs/results/fault_matrix.md'
    assert page.read_text(encoding='utf-8') == fault_matrix.render(rows, tests)


def test_a_matrix_that_the_tests_contradict_has_no_page(repo_root, monkeypatch):
    monkeypatch.setattr(fault_matrix, 'tests_by_row', lambda root: {})
    with pytest.raises(SystemExit, match='row 1 .*neither a test nor a reason'):
        fault_matrix.page(repo_root)


def test_a_row_without_test_and_reason_and_a_test_without_row_are_found(repo_root):
    rows, tests = fault_matrix.read_matrix(repo_root), fault_matrix.tests_by_row(repo_root)
    assert fault_matrix.offences(rows, tests) == []
    without = {row: names for row, names in tests.items() if row != 17}
    assert 'row 17' in fault_matrix.offences(rows, without)[0]
    assert 'no row 999' in fault_matrix.offences(rows, {**tests, 999: ['x::test_row_999_y']})[0]
    assert (
        'in order'
        in fault_matrix.offences(rows[1:], {k: v for k, v in tests.items() if k != 1})[0]
    )
    proven_now = {**tests, 89: ['x::test_row_089_y']}
    assert 'row 89' in fault_matrix.offences(rows, proven_now)[0]


def test_a_name_may_bear_several_numbers(tmp_path):
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test' / 'test_a.py').write_text(
        'def test_row_003_014_b():\n    pass\ndef test_row_3_c():\n    pass\n'
    )
    assert fault_matrix.tests_by_row(tmp_path) == {
        3: ['test_a.py::test_row_003_014_b'],
        14: ['test_a.py::test_row_003_014_b'],
    }
