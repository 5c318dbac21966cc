"""A small reader of glTF 2.0: triangles with materials, and textures baked to the corners.

Files are foreign: sizes are bounded, indices checked, paths stay within the file's folder, and
nothing is executed. https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import base64
import binascii
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import cv2
import numpy as np

from metabev_ros.errors import ConfigError, clean_text

_REMEDY = 'take metadrive-simulator 0.2.6.0, or none'
_LARGEST_FILE = 64 << 20  # bytes
_LARGEST_IMAGE = 8192  # pixels along a side
_MOST_NODES = 10_000
_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4}
_TRIANGLES = 4


@dataclass(frozen=True)
class Part:
    """The triangles of one material.

    Attributes:
        material: its name.
        corners: (T, 3, 3) float64, y up, in the file's unit.
        colour: (T, 3, 4) float32 RGBA of the corners, 0..255 without light.
    """

    material: str
    corners: np.ndarray
    colour: np.ndarray


class AssetFiles:
    """Files of an unpacked folder or of a wheel, which is read as a zip and never imported."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise ConfigError(
                'assets', 'a wheel or an unpacked folder', f'nothing at {path}', _REMEDY
            )
        if path.is_file() and not zipfile.is_zipfile(path):
            raise ConfigError('assets', 'a wheel (a zip file)', str(path), _REMEDY)

    def read(self, name: str) -> bytes:
        """The bytes of a file by its name within the wheel.

        Raises:
            ConfigError: it is not there, lies outside, or is too large.
        """
        pure = PurePosixPath(name)
        if pure.is_absolute() or '..' in pure.parts:
            raise ConfigError('assets', f'a file within {self._path}', clean_text(name))
        try:
            if self._path.is_dir():
                file = (self._path / pure).resolve(strict=True)
                if not file.is_relative_to(self._path.resolve()):
                    raise ConfigError('assets', f'a file within {self._path}', clean_text(name))
                with file.open('rb') as stream:
                    data = stream.read(_LARGEST_FILE + 1)
            else:
                with zipfile.ZipFile(self._path) as wheel, wheel.open(name) as stream:
                    data = stream.read(_LARGEST_FILE + 1)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            got = clean_text(f'{type(error).__name__} {error}')
            raise ConfigError(f'assets: {self._path}', clean_text(name), got, _REMEDY) from error
        if len(data) > _LARGEST_FILE:
            raise ConfigError(f'assets: {name}', f'at most {_LARGEST_FILE >> 20} MiB', 'more')
        return data


def read_gltf(files: AssetFiles, name: str) -> list[Part]:
    """All triangles of a glTF file by material.

    Raises:
        ConfigError: the file is not readable as glTF with triangles.
    """
    try:
        scene = _Scene(files, name)
        return scene.parts()
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, cv2.error) as error:
        got = clean_text(f'{type(error).__name__} {error}')
        raise ConfigError(f'assets: {name}', 'a glTF file with triangles', got, _REMEDY) from error


class _Scene:
    def __init__(self, files: AssetFiles, name: str) -> None:
        self._files = files
        self._folder = PurePosixPath(name).parent
        self._json: dict[str, Any] = json.loads(files.read(name))
        self._buffers = [self._uri(each['uri']) for each in self._json['buffers']]
        self._images: dict[int, np.ndarray] = {}

    def _uri(self, uri: str) -> bytes:
        if not uri.startswith('data:'):
            return self._files.read(str(self._folder / uri))
        try:
            return base64.b64decode(uri.split(',', 1)[1], validate=True)
        except binascii.Error as error:
            raise ValueError(f'buffer: {error}') from error

    def _view(self, index: int) -> bytes:
        view = self._json['bufferViews'][index]
        start, size = int(view.get('byteOffset', 0)), int(view['byteLength'])
        data = self._buffers[view['buffer']]
        if start < 0 or size < 0 or start + size > len(data) or view.get('byteStride', 0):
            raise ValueError(f'bufferView {index} does not fit its buffer')
        return data[start : start + size]

    def _values(self, index: int) -> np.ndarray:
        """The rows of an accessor."""
        accessor = self._json['accessors'][index]
        kind, width = np.dtype(_TYPES[accessor['componentType']]), _WIDTHS[accessor['type']]
        start, count = int(accessor.get('byteOffset', 0)), int(accessor['count'])
        size = count * width * kind.itemsize
        data = self._view(accessor['bufferView'])
        if start < 0 or count < 0 or start + size > len(data):
            raise ValueError(f'accessor {index} does not fit its view')
        return np.frombuffer(data[start : start + size], kind).reshape(count, width)

    def parts(self) -> list[Part]:
        """Triangles of all nodes that hang on a root."""
        nodes = self._json['nodes']
        children = {child for node in nodes for child in node.get('children', ())}
        found: list[Part] = []
        stack = [(index, np.eye(4)) for index in range(len(nodes)) if index not in children]
        visits = 0
        while stack:
            index, above = stack.pop()
            visits += 1
            if visits > _MOST_NODES:
                raise ValueError(f'more than {_MOST_NODES} nodes, or nodes in a circle')
            node = nodes[index]
            here = above @ _matrix(node)
            stack += [(int(child), here) for child in node.get('children', ())]
            if 'mesh' in node:
                found += self._mesh(self._json['meshes'][node['mesh']], here)
        return found

    def _mesh(self, mesh: dict[str, Any], matrix: np.ndarray) -> list[Part]:
        found: list[Part] = []
        for primitive in mesh['primitives']:
            if primitive.get('mode', _TRIANGLES) != _TRIANGLES:
                continue
            attributes = primitive['attributes']
            places = self._values(attributes['POSITION']).astype(np.float64)
            index = self._values(primitive['indices']).astype(np.int64).reshape(-1, 3)
            if len(index) and index.max() >= len(places):
                raise ValueError('a triangle points beyond the vertices')
            material = self._json['materials'][primitive['material']]
            colour = self._colour(material, attributes, len(places))[index]
            corners = (places @ matrix[:3, :3].T + matrix[:3, 3])[index]
            if np.linalg.det(matrix[:3, :3]) < 0:
                corners, colour = corners[:, ::-1], colour[:, ::-1]
            found.append(Part(str(material.get('name', '')), corners, colour))
        return found

    def _colour(
        self, material: dict[str, Any], attributes: dict[str, int], count: int
    ) -> np.ndarray:
        """(V, 4) RGBA of the vertices: factor times texture."""
        look = material.get('pbrMetallicRoughness', {})
        factor = np.array(look.get('baseColorFactor', (1, 1, 1, 1)), np.float32).reshape(4)
        factor[:3] = np.clip(factor[:3], 0, 1) ** (1 / 2.2)  # factors are linear, textures sRGB
        shade = np.full((count, 4), 255, np.float32)
        texture = look.get('baseColorTexture')
        if texture is not None:
            uv = self._values(attributes[f'TEXCOORD_{int(texture.get("texCoord", 0))}'])
            image = self._image(self._json['textures'][texture['index']]['source'])
            size = np.array(image.shape[1::-1])
            uv = np.nan_to_num(uv.astype(np.float64))
            column, row = np.clip((uv % 1.0 * size).astype(int), 0, size - 1).T
            shade = image[row, column].astype(np.float32)
        return shade * factor

    def _image(self, index: int) -> np.ndarray:
        """An image as (H, W, 4) RGBA, smoothed as a mip map would be."""
        if index not in self._images:
            image = self._json['images'][index]
            data = (
                self._view(image['bufferView'])
                if 'bufferView' in image
                else self._uri(image['uri'])
            )
            decode = cast(Callable[[np.ndarray, int], np.ndarray | None], cv2.imdecode)
            pixels = decode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if (
                pixels is None
                or max(pixels.shape[:2]) > _LARGEST_IMAGE
                or pixels.dtype != np.uint8
            ):
                raise ValueError(f'image {index} is not readable')
            codes = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
            channels = 1 if pixels.ndim == 2 else pixels.shape[2]
            self._images[index] = cv2.blur(cv2.cvtColor(pixels, codes[channels]), (5, 5))
        return self._images[index]


def _matrix(node: dict[str, Any]) -> np.ndarray:
    """A node's (4, 4) matrix."""
    if 'matrix' in node:
        return np.array(node['matrix'], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = np.array(node.get('rotation', (0, 0, 0, 1)), np.float64)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= np.array(node.get('scale', (1, 1, 1)), np.float64)
    matrix[:3, 3] = np.array(node.get('translation', (0, 0, 0)), np.float64)
    return matrix
