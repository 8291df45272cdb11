"""Damaged videos made from sound ones, each told by a seed alone."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.video.media import encode, picture

#: Codecs and containers that every machine can write.
_KINDS = (
    ("a.mp4", "libx264", "yuv420p"),
    ("b.mkv", "libx264", "yuv420p"),
    ("c.avi", "mpeg4", "yuv420p"),
    ("d.ts", "mpeg2video", "yuv420p"),
    ("e.webm", "libvpx-vp9", "yuv420p"),
    ("f.mov", "mjpeg", "yuvj420p"),
    ("g.flv", "flv", "yuv420p"),
)
#: Real files larger than this take too long, two thousand times over.
_MOST_BYTES = 16 * 1024


def write_samples(folder: Path) -> list[bytes]:
    """Gives tiny sound videos of several kinds."""
    pictures = [picture(index, 32, 32) for index in range(6)]
    paths = [
        encode(folder / name, pictures, codec=codec, pixel_format=pixel_format)
        for name, codec, pixel_format in _KINDS
    ]
    return [path.read_bytes() for path in paths]


def small_files(folder: Path) -> list[bytes]:
    """Gives the small files of a folder of real videos, in the order of their names."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return [path.read_bytes() for path in paths if path.stat().st_size <= _MOST_BYTES]


def mutate(sources: Sequence[bytes], seed: int) -> bytes:
    """Gives the damaged video of a seed; the same sources and seed give the same bytes."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(sources))
    for damage in chance.choices(_DAMAGES, k=chance.choice((1, 1, 1, 2))):
        damage(data, chance, sources)
    return bytes(data)


Damage = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def _flip_bits(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    for _ in range(chance.choice((1, 4, 16, 64)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _flip_head(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    """Damages what is parsed of every file, the headers."""
    for _ in range(8 if data else 0):
        data[chance.randrange(min(len(data), 512))] = chance.choice((0, 1, 127, 128, 255))


def _cut(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _remove(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.randrange(1, 200)]


def _splice(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    other = chance.choice(sources)
    start = chance.randrange(len(other) + 1)
    place = chance.randrange(len(data) + 1)
    data[place : place + chance.choice((0, 100))] = other[start : start + chance.randrange(1, 2000)]


def _repeat(data: bytearray, chance: random.Random, sources: Sequence[bytes]) -> None:
    start = chance.randrange(len(data) + 1)
    part = data[start : start + chance.randrange(1, 500)]
    data[start:start] = part * chance.choice((1, 3))


_DAMAGES: tuple[Damage, ...] = (_flip_bits, _flip_head, _cut, _remove, _splice, _repeat)
