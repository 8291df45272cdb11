import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mover_ray.video.budget import VideoBudget
from mover_ray.video.protocol import (
    MAX_MESSAGE_BYTES,
    FrameBuffer,
    ProtocolError,
    create_buffer_file,
    receive_message,
    receive_request,
    send_message,
)
from mover_ray.video.request import DecodeRequest
from mover_ray.video.sampling import SamplingPolicy

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    right.settimeout(5)
    with left, right:
        yield left, right


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(max_size=9), values, max_size=4), max_size=4))
def test_messages_arrive_whole_and_in_order(messages: list[dict[str, object]]) -> None:
    left, right = socket.socketpair()
    with right:
        with left:
            for message in messages:
                send_message(left, message)
        assert [receive_message(right) for _ in messages] == messages
        assert receive_message(right) is None


def test_descriptors_come_along(pair: Pair) -> None:
    left, right = pair
    with Path(os.devnull).open("rb") as file:
        send_message(left, {"kind": "run"}, [file.fileno()])
    received = receive_request(right, 3)
    assert received is not None
    message, [descriptor] = received
    assert message == {"kind": "run"}
    assert os.read(descriptor, 1) == b""
    os.close(descriptor)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0",
        struct.pack(">I", 10) + b"short",
        struct.pack(">I", 0),
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 60_000) + b"[" * 60_000,
    ],
)
def test_what_is_no_message_is_refused(data: bytes, pair: Pair) -> None:
    left, right = pair
    left.sendall(data)
    left.close()
    with pytest.raises(ProtocolError):
        receive_message(right)


def test_a_long_message_is_refused_before_it_is_read(pair: Pair) -> None:
    left, right = pair
    left.sendall(struct.pack(">I", MAX_MESSAGE_BYTES + 1))
    with pytest.raises(ProtocolError, match="announced"):
        receive_message(right)


def test_a_picture_goes_through_shared_memory_whatever_its_strides() -> None:
    descriptor = create_buffer_file(10_000)
    child, parent = FrameBuffer(descriptor, 10_000), FrameBuffer(descriptor, 10_000)
    image = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    turned = np.rot90(image)
    child.write(turned)
    received = parent.read(20, 30)
    child.write(np.zeros_like(image))
    np.testing.assert_array_equal(received, turned)
    for buffer in (child, parent):
        buffer.close()
    os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="seals are Linux's")
def test_shared_memory_cannot_be_cut_short() -> None:
    descriptor = create_buffer_file(10_000)
    for size in (0, 20_000):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    os.close(descriptor)


def test_a_request_survives_the_way() -> None:
    request = DecodeRequest(
        budget=VideoBudget(wall_s=3.5, max_pixels=99),
        policies=(SamplingPolicy(policy="clips", clip_s=1.5), SamplingPolicy()),
        key=bytes(range(256)),
        skip=4,
    )
    assert DecodeRequest.from_message(request.to_message()) == request
