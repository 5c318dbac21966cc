"""Checkpoints are data: what needs code is refused before the code runs."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from metabev_ros.errors import ContractError
from metabev_ros.lab.conversion.checkpoint import read_checkpoint

STATE = {'a.weight': torch.arange(6.0).reshape(2, 3), 'a.count': torch.tensor(4)}


class _Payload:
    """Pickles to a call that writes a file."""

    def __init__(self, path) -> None:
        self._path = path

    def __reduce__(self):
        return open, (str(self._path), 'w')


def _equal(state) -> bool:
    return set(state) == set(STATE) and all(torch.equal(state[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize(
    'wrapped',
    [
        STATE,
        {'state_dict': STATE, 'meta': {'epoch': 3, 'classes': ['car']}},
        {'model': STATE},
        {'state_dict': {f'module.{key}': value for key, value in STATE.items()}},
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_tensors_are_found_under_every_wrapper_and_in_both_formats(tmp_path, wrapped, zipped):
    torch.save(wrapped, tmp_path / 'w.pth', _use_new_zipfile_serialization=zipped)
    assert _equal(read_checkpoint(tmp_path / 'w.pth'))


def test_safetensors_are_read(tmp_path):
    save_file(STATE, tmp_path / 'w.safetensors')
    assert _equal(read_checkpoint(tmp_path / 'w.safetensors'))


@pytest.mark.parametrize('plain_pickle', [True, False])
def test_a_checkpoint_with_code_is_refused_and_the_code_does_not_run(tmp_path, plain_pickle):
    proof, path = tmp_path / 'proof', tmp_path / 'w.pth'
    content = {'state_dict': STATE, 'meta': _Payload(proof)}
    if plain_pickle:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ContractError, match='needs code to load') as error:
        read_checkpoint(path)
    assert 'safetensors' in str(error.value)
    assert not proof.exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / 'w.pth')
    with pytest.raises(ContractError, match='needs code to load'):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ({}, 'empty'),
        ([1, 2], 'list'),
        ({'epoch': 3}, 'epoch: int'),
        ({'state_dict': {'w': [1.0]}}, 'w: list'),
    ],
)
def test_a_file_without_tensors_is_refused(tmp_path, content, said):
    torch.save(content, tmp_path / 'w.pth')
    with pytest.raises(ContractError, match=said):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
def test_garbage_an_empty_file_and_no_file_are_refused(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ContractError):
        read_checkpoint(path)
    for content in (b'', b'not a checkpoint', bytes(range(256)) * 8):
        path.write_bytes(content)
        with pytest.raises(ContractError):
            read_checkpoint(path)
