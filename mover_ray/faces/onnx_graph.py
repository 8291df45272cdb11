"""Frees an ONNX model from the fixed input size that it was exported with.

CenterFace was exported for 10 images of 32x32, and with every weight listed as an
input, which forbids ONNX Runtime to fold batch normalisation into convolutions.
Both are a matter of a few fields of the file's protobuf encoding, so those fields
are left out here instead of depending on the `onnx` package.
"""

from collections.abc import Iterator

# Field numbers of onnx.proto, fixed by its compatibility rules.
_MODEL_GRAPH = 7
_GRAPH_INPUT = 11
_GRAPH_OUTPUT = 12
_GRAPH_VALUE_INFO = 13
_VALUE_NAME = 1
_VALUE_TYPE = 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def free_sizes(model: bytes) -> bytes:
    """Gives the model with inputs and outputs of any size and its weights constant.

    Args:
        model: A serialised ModelProto whose first graph input is the only real one.

    Raises:
        ValueError: The bytes are no protobuf message.
    """
    return b"".join(
        _field(number, _free_graph(value)) if number == _MODEL_GRAPH else raw
        for number, value, raw in _fields(model)
    )


def _free_graph(graph: bytes) -> bytes:
    kept = []
    inputs = 0
    for number, value, raw in _fields(graph):
        if number == _GRAPH_INPUT:
            inputs += 1
            if inputs == 1:
                kept.append(_field(number, _without_shape(value)))
        elif number == _GRAPH_OUTPUT:
            kept.append(_field(number, _without_shape(value)))
        elif number != _GRAPH_VALUE_INFO:
            kept.append(raw)
    return b"".join(kept)


def _without_shape(value_info: bytes) -> bytes:
    """Keeps name and element type of a ValueInfoProto."""
    kept = []
    for number, value, raw in _fields(value_info):
        if number == _VALUE_NAME:
            kept.append(raw)
        elif number == _VALUE_TYPE:
            kept.append(_field(number, _without_shape_in_type(value)))
    return b"".join(kept)


def _without_shape_in_type(type_proto: bytes) -> bytes:
    kept = []
    for number, value, raw in _fields(type_proto):
        if number == _TYPE_TENSOR:
            element = [r for n, _, r in _fields(value) if n == _TENSOR_ELEMENT]
            kept.append(_field(number, b"".join(element)))
        else:
            kept.append(raw)
    return b"".join(kept)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Walks a message: field number, payload (of length-delimited ones), raw bytes."""
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        payload_start, end = _payload(message, position, key & 7)
        if end > len(message):
            raise ValueError("protobuf message ends inside a field")
        yield key >> 3, message[payload_start:end], message[start:end]
        position = end


def _payload(message: bytes, position: int, wire_type: int) -> tuple[int, int]:
    if wire_type == _VARINT:
        return position, _read_varint(message, position)[1]
    if wire_type == _BYTES:
        length, position = _read_varint(message, position)
        return position, position + length
    if wire_type in (_FIXED64, _FIXED32):
        return position, position + (8 if wire_type == _FIXED64 else 4)
    raise ValueError(f"unknown protobuf wire type: {wire_type}")


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("protobuf message ends inside a number")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
