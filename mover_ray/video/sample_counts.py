"""How many frames an MP4 file says that it has, asked before FFmpeg believes it.

A table whose samples are all of one size takes twenty bytes, whatever their number; FFmpeg makes
an entry in memory of each of them as soon as it opens the file.
"""

import struct
from typing import BinaryIO, Final

from mover_ray.errors import InputError
from mover_ray.status import Status
from mover_ray.video.budget import VideoBudget
from mover_ray.video.mp4_boxes import Box, find_box, movie_box, read_fully, track_boxes

# Version and flags, then the size that all samples share, then their number.
_SAMPLE_COUNT: Final = struct.Struct(">8xI")
# Version, flags and a field without meaning, then four letters.
_HANDLER: Final = struct.Struct(">8x4s")
# Uncompressed sound counts each value as a sample, and FFmpeg does not list those.
_SOUND: Final = b"soun"


def check_sample_counts(file: BinaryIO, budget: VideoBudget) -> None:
    """Raises `InputError` (`too_large`) if a track says that it has more frames than the budget.

    Args:
        file: Any file; one that is no MP4 says nothing. Its position is lost.
        budget: Limits the number of frames.
    """
    movie = movie_box(file)
    if movie is None:
        return
    count = max((_count(file, track) for _, track in track_boxes(file, movie)), default=0)
    if count > budget.max_frames:
        raise InputError(
            Status.TOO_LARGE, f"{count} frames are over the limit of {budget.max_frames}"
        )


def _count(file: BinaryIO, track: Box) -> int:
    handler = _read(file, find_box(file, track, b"mdia", b"hdlr"), _HANDLER.size)
    sizes = find_box(file, track, b"mdia", b"minf", b"stbl", b"stsz")
    table = _read(file, sizes, _SAMPLE_COUNT.size)
    if table is None or (handler is not None and _HANDLER.unpack(handler) == (_SOUND,)):
        return 0
    count: int = _SAMPLE_COUNT.unpack(table)[0]
    return count


def _read(file: BinaryIO, box: Box | None, count: int) -> bytes | None:
    """Gives the first bytes of a box's content, or None if there are not so many."""
    if box is None or box.end - box.start < count:
        return None
    file.seek(box.start)
    return read_fully(file, count)
