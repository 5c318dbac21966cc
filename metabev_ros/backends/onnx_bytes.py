"""ONNX files are read as bytes and must be whole: no tensor may name another file.

External data lets a model file name paths that a runtime then opens (`../`, absolute, links).
Our exports never use it, so a file that does is refused before any runtime sees it. The check
reads the protobuf wire format itself: the run set has no `onnx` package, and no parser of a
runtime should be the first to touch the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from metabev_ros.errors import ContractError

# Fields of onnx.proto (ONNX 1.2 to 1.23) whose messages lead to a TensorProto.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING = range(8)
_INSIDE = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64


def refuse_external_data(content: bytes, where: str) -> None:
    """Check that an ONNX file names no other file.

    Args:
        content: the file.
        where: its name, for the error.

    Raises:
        ContractError: if a tensor's data lies elsewhere, or the bytes are no ONNX.
    """
    pending: list[tuple[memoryview, int, int]] = [(memoryview(content), _MODEL, 0)]
    while pending:
        message, kind, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise ContractError(
                where,
                f'graphs nested at most {_MAX_DEPTH} messages deep',
                'a deeper one',
                'export the model again',
            )
        for field, wire, value in _fields(message, where):
            if kind == _TENSOR and (
                field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)
            ):
                raise ContractError(
                    where,
                    'all weights inside the file',
                    'a tensor with external data',
                    'export the model again with `metabev export`',
                )
            inside = _INSIDE[kind].get(field)
            if inside is not None and wire == _BYTES and isinstance(value, memoryview):
                pending.append((value, inside, depth + 1))


def _fields(message: memoryview, where: str) -> Iterator[tuple[int, int, int | memoryview]]:
    """(field number, wire type, value) of one protobuf message; bytes are not copied."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position, where)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position, where)
        else:
            if wire == _BYTES:
                size, position = _varint(message, position, where)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
            if size < 0 or size > end - position:
                raise _malformed(where)
            value, position = message[position : position + size], position + size
        yield field, wire, value


def _varint(message: memoryview, position: int, where: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _malformed(where)
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise _malformed(where)


def _malformed(where: str) -> ContractError:
    return ContractError(
        where, 'an ONNX file', 'bytes that are no protobuf message', 'export the model again'
    )
