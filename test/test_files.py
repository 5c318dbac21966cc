"""Files that are whole or not there, and files whose content is what was promised."""

import pytest

from metabev_ros.errors import ContractError
from metabev_ros.files import read_checked, replacing, write_bytes, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    path = tmp_path / 'a.txt'
    write_text(path, 'old')
    with replacing(path) as part:
        part.write_text('ne')
        assert path.read_text() == 'old'
        part.write_text('new')
    assert path.read_text() == 'new' and names(tmp_path) == ['a.txt']


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a'
    write_bytes(path, b'old')
    with pytest.raises(ValueError, match='in the middle'), replacing(path) as part:
        part.write_bytes(b'ne')
        raise ValueError('in the middle')
    assert path.read_bytes() == b'old' and names(tmp_path) == ['a']


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_bytes(tmp_path / 'a', b'old')
    monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / 'a', b'new')
    assert (tmp_path / 'a').read_bytes() == b'old' and names(tmp_path) == ['a']


def test_what_a_killed_process_leaves_is_no_file_of_that_kind(tmp_path):
    with replacing(tmp_path / 'a.npz') as part:
        part.write_bytes(b'')
        assert not list(tmp_path.glob('*.npz'))


def test_bytes_that_differ_from_their_digest_are_refused(tmp_path):
    write_bytes(tmp_path / 'a', b'abc')
    digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert read_checked(tmp_path / 'a', digest) == b'abc'
    (tmp_path / 'a').write_bytes(b'abd')
    with pytest.raises(ContractError, match='changed after its export'):
        read_checked(tmp_path / 'a', digest)
