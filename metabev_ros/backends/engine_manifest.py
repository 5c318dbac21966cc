"""Origin of an engine, and the proof that it computes what its graph does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

FORMAT = 1
ANY_GPU = 'any'  # TensorRT-RTX: compiled for the GPU it meets, when it is loaded
_DIGEST = re.compile(r'[0-9a-f]{64}')


@dataclass(frozen=True)
class EngineIdentity:
    """Everything an engine depends on; a change of any field asks for another engine.

    Attributes:
        onnx_sha256: of the graph it is built from.
        precision: 'fp32', 'fp16' or 'int8'; carried in the ONNX types.
        gpu, compute_capability: where it was built; 'any' for TensorRT-RTX.
        flavour, tensorrt_version: of the builder.
        contract_hash: of the contract beside the ONNX.
    """

    graph: str
    onnx_sha256: str
    precision: str
    gpu: str
    compute_capability: str
    flavour: str
    tensorrt_version: str
    contract_hash: str

    @property
    def key(self) -> str:
        """First 16 hex digits of the SHA-256 over the canonical JSON."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, other: EngineIdentity) -> list[str]:
        """One 'field: ours, theirs' for every field that differs."""
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [
            f'{name}: {ours[name][:40]!r}, {theirs[name][:40]!r}'
            for name in ours
            if ours[name] != theirs[name]
        ]


@dataclass(frozen=True)
class ParityProof:
    """Proof that an engine was run and compared with ONNX Runtime.

    Attributes:
        gpu: name of the GPU that ran it.
        tolerance: what was allowed, as a share of a tensor's range.
        errors: tensor -> largest error as a share of its range.
    """

    gpu: str
    tolerance: float
    errors: dict[str, float]


@dataclass(frozen=True)
class EngineManifest:
    """Record beside an engine file: identity, hash, profile, proof.

    Attributes:
        profile: input with free axes -> [min, opt, max] shape.
        parity: None until the engine was run and compared.
    """

    identity: EngineIdentity
    engine_sha256: str
    engine_bytes: int
    profile: dict[str, list[list[int]]]
    parity: ParityProof | None

    @property
    def file(self) -> str:
        """Name of the manifest's own file."""
        return f'{self.identity.graph}-{self.identity.key}.json'

    @property
    def engine_file(self) -> str:
        """Name of the engine's file: its content names it."""
        return f'{self.identity.graph}-{self.engine_sha256}.engine'

    def to_json(self) -> bytes:
        """The manifest as JSON."""
        plain = {'format': FORMAT, **dataclasses.asdict(self)}
        return (json.dumps(plain, indent=1) + '\n').encode()

    @classmethod
    def from_json(cls, content: bytes) -> EngineManifest:
        """Read it back.

        Raises:
            ValueError: if it is no manifest.
        """
        try:
            plain: Any = json.loads(content)
            if plain.pop('format') != FORMAT:
                raise ValueError(f'a format other than {FORMAT}')
            identity, parity = EngineIdentity(**plain.pop('identity')), plain.pop('parity')
            manifest = cls(
                identity, parity=None if parity is None else ParityProof(**parity), **plain
            )
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f'{type(error).__name__}: {error}'[:100]) from error
        digest: Any = manifest.engine_sha256  # JSON: whatever the file says
        if not all(isinstance(text, str) for text in dataclasses.asdict(identity).values()) or (
            not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None
        ):
            raise ValueError('a field of the wrong kind')
        return manifest
