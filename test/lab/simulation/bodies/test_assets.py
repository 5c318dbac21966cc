"""Foreign glTF files: read, classified, decimated, refused when they are damaged."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from metabev_ros.errors import ConfigError
from metabev_ros.lab.simulation.bodies import solids
from metabev_ros.lab.simulation.bodies.assets import MOST_TRIANGLES, asset_bodies, decimated
from metabev_ros.lab.simulation.bodies.gltf import AssetFiles, read_gltf
from metabev_ros.lab.simulation.bodies.shelf import shelf
from metabev_ros.lab.simulation.materials import Material
from metabev_ros.lab.simulation.meshes import PRIMARY

NAME = 'metadrive/assets/models/vehicle/{}/vehicle.gltf'
VEHICLES = ('ferra', '130', 'truck')


def gltf(**changes: Any) -> dict[str, Any]:
    """A square of two triangles in glass and in textured paint, y up."""
    places = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 2)], np.float32)
    uv = np.array([(0.1, 0.1), (0.9, 0.1), (0.9, 0.1), (0.1, 0.1)], np.float32)
    index = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20], image[:, 20:] = (0, 0, 255), (255, 0, 0)  # red and blue, as OpenCV has them
    png = cv2.imencode('.png', image)[1].tobytes()
    chunks = [places.tobytes(), uv.tobytes(), index.tobytes(), png]
    starts = np.cumsum([0, *(len(chunk) for chunk in chunks)])
    data = b''.join(chunks)
    file: dict[str, Any] = {
        'buffers': [
            {
                'byteLength': len(data),
                'uri': 'data:application/octet-stream;base64,' + base64.b64encode(data).decode(),
            }
        ],
        'bufferViews': [
            {'buffer': 0, 'byteOffset': int(start), 'byteLength': len(chunk)}
            for start, chunk in zip(starts[:-1], chunks, strict=True)
        ],
        'accessors': [
            {'bufferView': 0, 'componentType': 5126, 'count': 4, 'type': 'VEC3'},
            {'bufferView': 1, 'componentType': 5126, 'count': 4, 'type': 'VEC2'},
            {'bufferView': 2, 'componentType': 5123, 'count': 6, 'type': 'SCALAR'},
        ],
        'images': [{'bufferView': 3, 'mimeType': 'image/png'}],
        'textures': [{'source': 0}],
        'materials': [
            {'name': 'glass.001', 'pbrMetallicRoughness': {'baseColorFactor': [0, 0, 0, 0.2]}},
            {'name': 'carpaint', 'pbrMetallicRoughness': {'baseColorTexture': {'index': 0}}},
        ],
        'meshes': [
            {
                'primitives': [
                    {
                        'attributes': {'POSITION': 0, 'TEXCOORD_0': 1},
                        'indices': 2,
                        'material': material,
                    }
                ]
            }
            for material in (0, 1)
        ],
        'nodes': [
            {'children': [1, 2], 'scale': [2, 2, 2]},
            {'mesh': 0},
            {'mesh': 1, 'translation': [0, 0, 5]},
        ],
    }
    return {**file, **changes}


def folder_with(path: Path, file: dict[str, Any]) -> Path:
    for name in VEHICLES:
        target = path / NAME.format(name)
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(file))
    return path


def read(path: Path, **changes: Any) -> list[Any]:
    return read_gltf(AssetFiles(folder_with(path, gltf(**changes))), NAME.format('ferra'))


def test_nodes_move_triangles_and_textures_colour_corners(tmp_path: Path) -> None:
    parts = {part.material: part for part in read(tmp_path)}
    paint = parts['carpaint']
    assert np.allclose(paint.corners[0], [(0, 0, 10), (2, 0, 10), (2, 2, 10)])
    assert np.allclose(paint.colour[0, :2], [(255, 0, 0, 255), (0, 0, 255, 255)])
    assert np.allclose(parts['glass.001'].colour[..., 3], 51)


def test_materials_are_known_by_their_names(tmp_path: Path) -> None:
    body = asset_bodies(folder_with(tmp_path, gltf()))[0]
    glass = body.mesh.material == Material.CAR_GLASS
    assert glass.any()
    assert (body.mesh.slot[body.mesh.material == Material.CAR_PAINT] == PRIMARY).all()
    assert Material.RUBBER in body.mesh.material


def test_a_wheel_and_its_unpacked_folder_give_equal_bodies(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / 'folder', gltf())
    wheel = tmp_path / 'some.whl'
    with zipfile.ZipFile(wheel, 'w') as file:
        for name in VEHICLES:
            file.write(folder / NAME.format(name), NAME.format(name))
    for first, second in zip(asset_bodies(folder), asset_bodies(wheel), strict=True):
        assert first.mesh.vertices.tobytes() == second.mesh.vertices.tobytes()


def test_assets_come_after_the_parametric_bodies(tmp_path: Path) -> None:
    plain, more = shelf(), shelf(folder_with(tmp_path, gltf()))
    names = [body.name for body in more.bodies]
    assert names[: len(plain.bodies)] == [body.name for body in plain.bodies]
    assert len(more.bodies) == len(plain.bodies) + len(VEHICLES)


@pytest.mark.parametrize(
    'changes',
    [
        {'buffers': [{'byteLength': 4, 'uri': 'data:;base64,!!'}]},
        {'buffers': [{'byteLength': 4, 'uri': '../../../../../../../../etc/hostname'}]},
        {'buffers': [{'byteLength': 4, 'uri': '/etc/hostname'}]},
        {'nodes': [{'children': [1]}, {'children': [2]}, {'children': [1], 'mesh': 0}]},
        {'bufferViews': [{'buffer': 0, 'byteOffset': 0, 'byteLength': 1 << 40}] * 4},
        {
            'accessors': [{'bufferView': 0, 'componentType': 5126, 'count': 999, 'type': 'VEC3'}]
            * 3
        },
        {'materials': []},
        {'images': [{'bufferView': 0, 'mimeType': 'image/png'}]},
    ],
)
def test_damaged_and_hostile_files_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match='assets'):
        read(tmp_path, **changes)


def test_a_triangle_beyond_the_vertices_is_refused(tmp_path: Path) -> None:
    accessors = gltf()['accessors']
    accessors[0]['count'] = 2
    with pytest.raises(ConfigError, match='beyond'):
        read(tmp_path, accessors=accessors)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / 'outside.gltf'
    outside.write_text(json.dumps(gltf()))
    folder = folder_with(tmp_path / 'folder', gltf())
    target = folder / NAME.format('ferra')
    target.unlink()
    target.symlink_to(outside)
    with pytest.raises(ConfigError, match='within'):
        asset_bodies(folder)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    file = tmp_path / 'some.whl'
    file.write_bytes(b'no zip')
    for path in (file, tmp_path / 'nothing'):
        with pytest.raises(ConfigError, match='assets'):
            asset_bodies(path)


def test_decimation_keeps_the_outline_and_the_bound() -> None:
    ball = solids.ellipsoid((0, 0, 0), (2, 1, 1), solids.PAINT, 120, 90)
    few = decimated(ball, MOST_TRIANGLES)
    assert MOST_TRIANGLES * 0.5 < len(few.triangles) <= MOST_TRIANGLES < len(ball.triangles)
    assert np.allclose(few.bounds, ball.bounds, atol=0.08)
    radius = np.linalg.norm(few.vertices / np.array([2, 1, 1]), axis=1)
    assert np.allclose(radius, 1, atol=1e-3)
