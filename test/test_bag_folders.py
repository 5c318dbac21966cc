"""Bags of several files: which of them are read, and in which order."""

from __future__ import annotations

import pytest
from mcap.writer import CompressionType
from support.bag_files import header_cdr, write_db3, write_mcap, write_metadata

from metabev_ros.bags import BagReader, merge
from metabev_ros.errors import SensorDataError


def write_part(path, numbers, time=None):
    """A file with one message a number; all at the same time where one is given."""
    messages = [('/a', number if time is None else time, header_cdr(number)) for number in numbers]
    write = write_db3 if path.suffix == '.db3' else write_mcap
    return write(path, messages)


def numbers_of(reader):
    """What the headers' stamps say, in the order of the messages."""
    return [int.from_bytes(m.cdr[8:12], 'little') for m in reader]


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_files_come_in_the_order_of_metadata_yaml(tmp_path, kind):
    names = [f'{name}.{kind}' for name in ('z', 'b', 'a')]
    for number, name in enumerate(names):
        write_part(tmp_path / name, [10 * number, 10 * number + 1], time=7)
    write_metadata(tmp_path, names)
    assert numbers_of(BagReader(tmp_path)) == [0, 1, 10, 11, 20, 21]


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_without_metadata_files_come_in_the_order_of_their_numbers(tmp_path, kind):
    for number in (0, 1, 2, 9, 10, 11):
        write_part(tmp_path / f'bag_{number}.{kind}', [number], time=7)
    assert numbers_of(BagReader(tmp_path)) == [0, 1, 2, 9, 10, 11]


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_files_that_overlap_are_merged_by_time(tmp_path, kind):
    write_part(tmp_path / f'bag_0.{kind}', range(0, 300, 2))
    write_part(tmp_path / f'bag_1.{kind}', range(101, 301, 2))
    write_part(tmp_path / f'bag_2.{kind}', range(301, 320))
    found = numbers_of(BagReader(tmp_path))
    assert found == sorted(found) and len(found) == 150 + 100 + 19


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_a_file_that_is_missing_or_broken_is_named_and_the_others_are_read(tmp_path, kind):
    names = [f'bag_{number}.{kind}' for number in range(4)]
    for number in (0, 3):
        write_part(tmp_path / names[number], [number])
    (tmp_path / names[2]).write_bytes(b'no bag')
    write_metadata(tmp_path, names)
    reader = BagReader(tmp_path)
    assert numbers_of(reader) == [0, 3]
    assert set(reader.integrity.broken_files) == set(names[1:3]) and reader.integrity.is_lossy
    assert names[1] in reader.integrity.describe()


def test_metadata_leads_to_no_file_outside_of_its_folder(tmp_path):
    (tmp_path / 'bag').mkdir()
    write_part(tmp_path / 'secret.mcap', [5])
    write_part(tmp_path / 'bag' / 'a.mcap', [1])
    write_metadata(
        tmp_path / 'bag', ['../secret.mcap', str(tmp_path / 'secret.mcap'), 'bag/a.mcap']
    )
    reader = BagReader(tmp_path / 'bag')
    assert numbers_of(reader) == [1]
    assert set(reader.integrity.broken_files) == {'secret.mcap'}


def test_files_that_metadata_does_not_name_are_left_out_and_told(tmp_path):
    for name in ('a.mcap', 'b.mcap', 'old.mcap'):
        write_part(tmp_path / name, [1])
    write_metadata(tmp_path, ['a.mcap', 'b.mcap'])
    reader = BagReader(tmp_path)
    assert numbers_of(reader) == [1, 1] and not reader.integrity.is_lossy
    assert 'old.mcap' in reader.integrity.describe()


@pytest.mark.parametrize(
    'text',
    [
        '',
        'a: [',
        '- 1',
        'a: &a 1\nb: *a',
        'x' * (2**20 + 1),
        'rosbag2_bagfile_information: 7',
        'rosbag2_bagfile_information: {relative_file_paths: [a.mcap], compression_mode: [',
    ],
)
def test_metadata_that_cannot_be_read_is_told_and_the_folder_is_read_without(tmp_path, text):
    write_part(tmp_path / 'a.mcap', [1])
    (tmp_path / 'metadata.yaml').write_text(text)
    reader = BagReader(tmp_path)
    assert numbers_of(reader) == [1] and 'metadata.yaml' in reader.integrity.describe()


def test_more_files_than_a_process_may_open_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(merge, 'OPEN_FILES', 2)
    for number in range(6):
        messages = [('/a', time, header_cdr(time)) for time in range(number, 60, 6)]
        write_mcap(
            tmp_path / f'{number}.mcap', messages, chunk_size=99, compression=CompressionType.NONE
        )
    assert numbers_of(BagReader(tmp_path)) == list(range(60))


@pytest.mark.parametrize('kind', ['mcap', 'db3'])
def test_a_folder_of_which_nothing_can_be_read_is_refused(tmp_path, kind):
    with pytest.raises(SensorDataError, match=str(tmp_path)):
        BagReader(tmp_path)
    write_metadata(tmp_path, [f'a.{kind}'])
    with pytest.raises(SensorDataError, match='not there'):
        BagReader(tmp_path)
