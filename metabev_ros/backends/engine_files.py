"""The engine cache: an engine is checked before it is deserialised, and never lost.

An engine is native code: to load a foreign one is to run a foreign program. So engines lie in a
cache of their own user, never in the source or install tree, in private folders and files. The
manifest says what an engine was made from and for; its SHA-256 is checked on the very bytes that
are deserialised then (TensorRT's own validity query is no tamper check).

    $XDG_CACHE_HOME/metabev/engines/<model>/<graph>-<key>.json         manifest: the commit point
                                            <graph>-<SHA-256>.engine

An install writes the engine under the name of its content, then replaces the manifest: whoever
dies in between leaves the manifest and the engine that were there.
"""

from __future__ import annotations

import enum
import fcntl
import hashlib
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metabev_ros.backends.engine_manifest import EngineIdentity, EngineManifest
from metabev_ros.backends.private_files import (
    make_private_folder,
    opened_folder,
    read_private,
    write_private,
)
from metabev_ros.errors import ConfigError, ContractError
from metabev_ros.resources import resource_root

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,63}')
_MANIFEST_LIMIT, _ENGINE_LIMIT = 1 << 20, 8 << 30  # bytes
BUILD = 'run `metabev build-engines` for this model and precision on this machine'


class EngineState(enum.Enum):
    """State of the cache for an identity."""

    CURRENT = 'current'
    STALE = 'stale'  # engines of the same graph, all for something else
    ABSENT = 'absent'


@dataclass(frozen=True)
class FoundEngine:
    """Answer of the cache.

    Attributes:
        manifest: of the engine, or of the one most alike; None when absent.
        engine: checked bytes; None unless current.
    """

    state: EngineState
    manifest: EngineManifest | None = None
    engine: bytes | None = None


@dataclass(frozen=True)
class LoadedEngine:
    """A current engine: checked bytes and what they were made from and for."""

    manifest: EngineManifest
    engine: bytes


def default_cache() -> Path:
    """`metabev/engines` in the user's cache folder (XDG base directory specification)."""
    base = Path(os.environ.get('XDG_CACHE_HOME', ''))
    return (base if base.is_absolute() else Path.home() / '.cache') / 'metabev' / 'engines'


class EngineStore:
    """The engines of one model.

    Args:
        model: name of the model (`ModelConfig.name`): one plain folder name.
        root: folder of all engines.

    Raises:
        ConfigError: if the name is no folder name, or the root is none of ours to write.
    """

    def __init__(self, model: str, root: Path | None = None) -> None:
        if _NAME.fullmatch(model) is None:
            raise ConfigError(
                'engine cache: model name',
                'at most 64 of letters, digits, "_", "-" and ".", the first a letter or digit',
                repr(model[:64]),
                'correct `name` in the configuration',
            )
        root = default_cache() if root is None else Path(root)
        try:
            real = root.resolve()
            tree = resource_root(Path(__file__).resolve().parent.parent).resolve()
        except (OSError, ValueError) as error:
            raise ConfigError(
                'engine cache',
                'the path of a folder',
                f'{str(root)[:64]!r} ({error})'[:200],
                'correct it',
            ) from error
        if real == tree or tree in real.parents:
            raise ConfigError(
                'engine cache',
                f'a folder outside {tree}',
                str(real),
                'leave XDG_CACHE_HOME unset, or name a folder of your own',
            )
        self.folder = real / model

    def find(self, wanted: EngineIdentity) -> FoundEngine:
        """Find the engine of an identity, or the state of the cache without it.

        Raises:
            ContractError: if its manifest or engine was tampered with, or the cache is not ours.
        """
        name = f'{wanted.graph}-{wanted.key}.json'
        try:
            with opened_folder(self.folder) as folder:
                manifest = self._manifest(folder, name)
                if manifest is None:
                    others = self._others(folder, wanted)
                    return (
                        FoundEngine(EngineState.STALE, others[0])
                        if others
                        else FoundEngine(EngineState.ABSENT)
                    )
                if manifest.identity != wanted:
                    raise self._tampered(
                        name,
                        'the manifest of this key',
                        '; '.join(wanted.differences(manifest.identity)),
                    )
                return FoundEngine(EngineState.CURRENT, manifest, self._engine(folder, manifest))
        except FileNotFoundError:
            return FoundEngine(EngineState.ABSENT)

    def load(self, wanted: EngineIdentity) -> LoadedEngine:
        """The current engine: these bytes and nothing else may be deserialised.

        Raises:
            ContractError: if there is none, only a stale one, or one that was tampered with.
        """
        found = self.find(wanted)
        if found.manifest is None or found.engine is None:
            got = (
                'none'
                if found.manifest is None
                else (
                    'only one that differs in (wanted, there) '
                    + '; '.join(wanted.differences(found.manifest.identity))
                )
            )
            raise ContractError(
                f'{self.folder}: engine of {wanted.graph}',
                f'{wanted.precision}, {wanted.flavour} {wanted.tensorrt_version}, '
                f'for GPU {wanted.gpu}',
                got,
                BUILD,
            )
        return LoadedEngine(found.manifest, found.engine)

    def install(self, engine: bytes, manifest: EngineManifest) -> None:
        """Put an engine in place; until the last step the previous one is what is there.

        Raises:
            ContractError: if the cache cannot be written or is not ours.
        """
        with self._locked() as folder:
            write_private(folder, manifest.engine_file, engine)
            write_private(folder, manifest.file, manifest.to_json())
            self._remove_orphans(folder, manifest.identity.graph)

    def timing_cache(self, name: str) -> bytes:
        """Kernel times that former builds measured; empty if there are none or they are damaged.

        They only save time, so a damaged file is no reason to stop a build.
        """
        try:
            with opened_folder(self.folder) as folder:
                content = read_private(folder, f'{name}.timing', _ENGINE_LIMIT)
        except (OSError, ContractError):
            return b''
        digest, body = content[:64], content[64:]
        return body if hashlib.sha256(body).hexdigest().encode() == digest else b''

    def keep_timing_cache(self, name: str, content: bytes) -> None:
        """Keep kernel times for the next build with the same GPU and version."""
        with self._locked() as folder:
            write_private(
                folder, f'{name}.timing', hashlib.sha256(content).hexdigest().encode() + content
            )

    @contextmanager
    def _locked(self) -> Generator[int]:
        """The folder, made if it is missing, for one writer at a time."""
        try:
            make_private_folder(self.folder)
            with opened_folder(self.folder) as folder:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield folder
        except OSError as error:
            raise ContractError(
                str(self.folder),
                'a folder that can be written',
                str(error),
                'free disk space, or point XDG_CACHE_HOME to a writable folder',
            ) from error

    def _manifest(self, folder: int, name: str) -> EngineManifest | None:
        try:
            return EngineManifest.from_json(read_private(folder, name, _MANIFEST_LIMIT))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._tampered(name, 'an engine manifest', str(error)) from error

    def _engine(self, folder: int, manifest: EngineManifest) -> bytes:
        try:
            content = read_private(folder, manifest.engine_file, _ENGINE_LIMIT)
        except FileNotFoundError as error:
            raise self._tampered(
                manifest.engine_file, 'the engine of its manifest', 'none'
            ) from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != manifest.engine_sha256:
            raise self._tampered(
                manifest.engine_file,
                f'{manifest.engine_bytes} bytes with the SHA-256 of its name',
                f'{len(content)} bytes with SHA-256 {digest[:16]}...',
            )
        return content

    def _others(self, folder: int, wanted: EngineIdentity) -> list[EngineManifest]:
        """Readable manifests of the same graph, the most alike first."""
        found: list[EngineManifest | None] = []
        for name in self._manifest_names(folder, wanted.graph):
            try:
                found.append(self._manifest(folder, name))
            except ContractError:
                continue  # another engine's broken manifest says nothing about this one
        return sorted(
            (manifest for manifest in found if manifest is not None),
            key=lambda manifest: len(wanted.differences(manifest.identity)),
        )

    def _remove_orphans(self, folder: int, graph: str) -> None:
        """Engines of a graph that no manifest names any more, and what killed writers left."""
        try:
            manifests = [
                self._manifest(folder, name) for name in self._manifest_names(folder, graph)
            ]
        except ContractError:
            return  # a manifest that cannot be read may name any of them
        kept = {manifest.engine_file for manifest in manifests if manifest is not None}
        for name in os.listdir(folder):
            is_engine = name.startswith(f'{graph}-') and name.endswith('.engine')
            is_part = name.startswith(f'.{graph}-') and name.endswith('.part')
            if is_part or (is_engine and name not in kept):
                os.unlink(name, dir_fd=folder)

    @staticmethod
    def _manifest_names(folder: int, graph: str) -> list[str]:
        return [
            name
            for name in sorted(os.listdir(folder))
            if name.startswith(f'{graph}-') and name.endswith('.json')
        ]

    def _tampered(self, name: str, expected: str, got: str) -> ContractError:
        return ContractError(
            str(self.folder / name),
            expected,
            got,
            'it was changed after its '
            f'build and is not loaded: find out why, remove it, then {BUILD}',
        )
