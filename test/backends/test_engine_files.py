"""The engine cache: rows 84, 85, 86 and 113 of the reliability catalogue."""

import dataclasses
import hashlib
import json
import os

import numpy as np
import pytest

from metabev_ros.backends import private_files
from metabev_ros.backends.engine_files import EngineState, EngineStore, default_cache
from metabev_ros.backends.engine_manifest import EngineIdentity, EngineManifest, ParityProof
from metabev_ros.errors import ConfigError, ContractError

ENGINE = np.random.default_rng(0).bytes(3000)
WANTED = EngineIdentity(
    'lidar_encoder', 'a' * 64, 'fp16', 'NVIDIA H100', '9.0', 'tensorrt', '10.16.1', 'c' * 16
)


def manifest_of(engine: bytes, identity: EngineIdentity = WANTED) -> EngineManifest:
    return EngineManifest(
        identity,
        hashlib.sha256(engine).hexdigest(),
        len(engine),
        {'pillars': [[1, 12, 9], [6000, 12, 9], [12000, 12, 9]]},
        ParityProof('NVIDIA H100', 0.02, {'lidar_bev': 0.001}),
    )


@pytest.fixture
def store(tmp_path):
    store = EngineStore('small', tmp_path / 'cache')
    store.install(ENGINE, manifest_of(ENGINE))
    return store


def only(store, suffix):
    return next(path for path in store.folder.iterdir() if path.name.endswith(suffix))


def test_an_installed_engine_is_found_with_all_that_is_known_of_it(store):
    found = store.load(WANTED)
    assert found.engine == ENGINE and found.manifest == manifest_of(ENGINE)
    assert sorted(path.suffix for path in store.folder.iterdir()) == ['.engine', '.json']
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in store.folder.iterdir())


def test_an_empty_cache_is_absent_and_the_error_names_the_command(tmp_path):
    store = EngineStore('small', tmp_path / 'none')
    assert store.find(WANTED).state is EngineState.ABSENT
    with pytest.raises(ContractError, match='got none; run `metabev build-engines`'):
        store.load(WANTED)
    assert not store.folder.exists()


def test_row_084_a_flipped_byte_is_refused_wherever_it_is(store):
    path = only(store, '.engine')
    for offset in np.linspace(0, len(ENGINE) - 1, 100).astype(int):
        content = bytearray(ENGINE)
        content[offset] ^= 1 << (offset % 8)
        path.write_bytes(content)
        with pytest.raises(ContractError, match='changed after its build and is not loaded'):
            store.load(WANTED)
    path.write_bytes(ENGINE)
    assert store.load(WANTED).engine == ENGINE


@pytest.mark.parametrize('content', [b'', ENGINE[:-1], ENGINE[:1500], bytes(3000), ENGINE + b'x'])
def test_row_084_a_truncated_empty_zeroed_or_longer_engine_is_refused(store, content):
    only(store, '.engine').write_bytes(content)
    with pytest.raises(ContractError, match=f'got {len(content)} bytes'):
        store.find(WANTED)


def test_row_084_a_missing_engine_is_refused(store):
    only(store, '.engine').unlink()
    with pytest.raises(ContractError, match='the engine of its manifest, got none'):
        store.find(WANTED)


def test_row_084_a_flipped_byte_in_the_manifest_never_gives_another_engine(store):
    path = only(store, '.json')
    original = path.read_bytes()
    for offset in range(0, len(original), 7):
        content = bytearray(original)
        content[offset] ^= 1
        path.write_bytes(content)
        try:
            assert store.load(WANTED).engine == ENGINE  # a figure that nobody computes with
        except ContractError:
            pass


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'{',
        b'[]',
        b'null',
        b'{"format": 1}',
        b'\xff' * 40,
        b'[' * 50_000,
        json.dumps({'format': 1, 'identity': {'graph': 1}, 'parity': None}).encode(),
    ],
)
def test_row_084_a_manifest_that_is_none_is_refused(store, content):
    only(store, '.json').write_bytes(content)
    with pytest.raises(ContractError, match='an engine manifest'):
        store.find(WANTED)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('onnx_sha256', 'b' * 64),
        ('precision', 'fp32'),
        ('gpu', 'Orin'),
        ('compute_capability', '8.7'),
        ('flavour', 'tensorrt_rtx'),
        ('tensorrt_version', '10.3.0'),
        ('contract_hash', 'd' * 16),
    ],
)
def test_row_085_a_stale_engine_is_refused_with_what_differs(store, field, value):
    wanted = dataclasses.replace(WANTED, **{field: value})
    assert store.find(wanted).state is EngineState.STALE
    with pytest.raises(ContractError, match=f'{field}: {value[:40]!r}, '):
        store.load(wanted)
    assert store.load(WANTED).engine == ENGINE


def test_row_085_an_engine_of_another_graph_is_no_stale_one(store):
    wanted = dataclasses.replace(WANTED, graph='camera_encoder')
    assert store.find(wanted).state is EngineState.ABSENT


def test_row_085_a_manifest_under_a_foreign_key_is_refused(store):
    other = dataclasses.replace(WANTED, gpu='Orin')
    only(store, '.json').rename(store.folder / f'{other.graph}-{other.key}.json')
    with pytest.raises(ContractError, match="gpu: 'Orin', 'NVIDIA H100'"):
        store.find(other)


def test_engines_for_two_gpus_live_beside_each_other(store):
    other, engine = dataclasses.replace(WANTED, gpu='Orin'), b'another engine'
    store.install(engine, manifest_of(engine, other))
    assert store.load(WANTED).engine == ENGINE and store.load(other).engine == engine


def test_a_new_engine_replaces_the_old_one_and_nothing_is_left_over(store):
    (store.folder / '.lidar_encoder-killed.engine.part').write_bytes(b'half')
    store.install(b'new', manifest_of(b'new'))
    assert store.load(WANTED).engine == b'new'
    assert len(list(store.folder.iterdir())) == 2


STEPS = ('open', 'write', 'fsync', 'replace', 'unlink')


def install_and_die(store, engine, step):
    """In a process of its own: the n-th system call of the install is its last."""
    child = os.fork()
    if child == 0:
        calls = 0

        def wrap(function, name):
            def wrapped(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == step:
                    if name == 'write':
                        function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                    os._exit(9)
                return function(*arguments, **options)

            return wrapped

        for name in STEPS:
            setattr(private_files.os, name, wrap(getattr(os, name), name))
        store.install(engine, manifest_of(engine))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_row_086_a_writer_killed_at_any_step_leaves_the_old_or_the_new_engine(store):
    step, new, outcomes = 0, ENGINE[::-1], []
    while True:
        step += 1
        store.install(ENGINE, manifest_of(ENGINE))
        code = install_and_die(store, new, step)
        if code == 0:
            break
        assert code == 9
        outcomes.append(store.load(WANTED).engine)
    assert step > 10 and store.load(WANTED).engine == new
    assert set(outcomes) == {ENGINE, new}
    assert outcomes == sorted(outcomes, key=lambda engine: engine == new), 'one commit point'


def test_row_086_a_full_disk_leaves_the_old_engine_and_says_so(store, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(private_files.os, 'write', full)
    with pytest.raises(ContractError, match='No space left.*free disk space'):
        store.install(b'new', manifest_of(b'new'))
    monkeypatch.undo()
    assert store.load(WANTED).engine == ENGINE and len(list(store.folder.iterdir())) == 2


@pytest.mark.parametrize('mode', [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused(store, mode):
    store.folder.chmod(mode)
    with pytest.raises(ContractError, match='writable by its owner alone'):
        store.find(WANTED)
    with pytest.raises(ContractError, match='writable by its owner alone'):
        store.install(ENGINE, manifest_of(ENGINE))


@pytest.mark.parametrize('suffix', ['.engine', '.json'])
def test_a_file_that_others_can_write_is_refused(store, suffix):
    only(store, suffix).chmod(0o660)
    with pytest.raises(ContractError, match='writable by its owner alone'):
        store.find(WANTED)


@pytest.mark.parametrize('suffix', ['.engine', '.json', None])
def test_what_belongs_to_another_user_is_refused(store, suffix, monkeypatch):
    if os.geteuid() == 0:
        os.chown(store.folder if suffix is None else only(store, suffix), 12345, -1)
    elif suffix is None:
        monkeypatch.setattr(private_files.os, 'geteuid', lambda: 12345)
    else:
        pytest.skip('only root can give files away')
    with pytest.raises(ContractError, match='owned by user'):
        store.find(WANTED)


@pytest.mark.parametrize('suffix', ['.engine', '.json'])
@pytest.mark.parametrize('link', [os.symlink, os.link])
def test_a_link_in_place_of_a_file_is_refused(store, suffix, link, tmp_path):
    path = only(store, suffix)
    elsewhere = path.rename(tmp_path / 'elsewhere')
    link(elsewhere, path)
    with pytest.raises(ContractError, match='remove it'):
        store.find(WANTED)


def test_a_fifo_in_place_of_an_engine_is_refused_without_waiting(store):
    path = only(store, '.engine')
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(ContractError, match='a plain file'):
        store.find(WANTED)


def test_a_cache_that_is_a_link_or_a_file_is_refused(store, tmp_path):
    (tmp_path / 'link').mkdir(mode=0o700)
    (tmp_path / 'link' / 'small').symlink_to(store.folder)
    with pytest.raises(ContractError, match='a folder that can be opened'):
        EngineStore('small', tmp_path / 'link').find(WANTED)
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(ContractError):
        EngineStore('small', tmp_path / 'file').install(ENGINE, manifest_of(ENGINE))


@pytest.mark.parametrize(
    'name',
    [
        '..',
        '.',
        '',
        '../other',
        '/etc',
        'a/b',
        'a\0b',
        'x' * 5000,
        '.hidden',
        'a//b',
        'm\u0435tabev',
        'a\nb',
        'a b',
        '~root',
    ],
)
def test_row_113_a_model_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match='engine cache: model name'):
        EngineStore(name, tmp_path)


@pytest.mark.parametrize('root', ['a\0b', 'x' * 5000])
def test_row_113_a_cache_path_that_is_none_is_refused(root):
    with pytest.raises((ConfigError, ContractError)):
        EngineStore('small', root).install(ENGINE, manifest_of(ENGINE))


def test_row_113_a_cache_in_the_source_tree_is_refused_by_its_real_path(repo_root, tmp_path):
    (tmp_path / 'link').symlink_to(repo_root / 'models')
    for root in (
        repo_root,
        repo_root / 'models',
        tmp_path / 'link',
        repo_root / 'out' / '..' / 'models',
    ):
        with pytest.raises(ConfigError, match='a folder outside'):
            EngineStore('small', root)


def test_the_cache_follows_the_xdg_specification(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_cache() == tmp_path / 'metabev' / 'engines'
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative/is/ignored')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    assert default_cache() == tmp_path / 'home' / '.cache' / 'metabev' / 'engines'


def test_a_damaged_timing_cache_is_as_good_as_none(store):
    assert store.timing_cache('x') == b''
    store.keep_timing_cache('x', b'times')
    assert store.timing_cache('x') == b'times'
    only(store, '.timing').write_bytes(b'0' * 64 + b'times')
    assert store.timing_cache('x') == b''
