"""Which names below a folder are taken for videos."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

#: Endings of names that are taken for videos in folders, under prefixes and in inventories.
VIDEO_SUFFIXES: Final = (
    *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m2v", ".m4v", ".mj2", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
)

#: Why a name is passed over.
HIDDEN: Final = "hidden"
NO_VIDEO: Final = "not a video's file name"

_HIDDEN_PATTERN = r"(^|/)\."
_VIDEO_PATTERN = r"(?i)\.(" + "|".join(suffix[1:] for suffix in VIDEO_SUFFIXES) + ")$"


def why_not(name: str) -> str | None:
    """Gives the reason to pass a name below the source over; null for a video's."""
    if "/." in f"/{name}":
        return HIDDEN
    return None if name.lower().endswith(VIDEO_SUFFIXES) else NO_VIDEO


def why_none_of(names: pa.Array) -> pa.Array:
    """Gives for many names what `why_not` gives for one."""
    hidden = pc.match_substring_regex(names, _HIDDEN_PATTERN)
    video = pc.match_substring_regex(names, _VIDEO_PATTERN)
    no_video = pc.if_else(video, pa.scalar(None, pa.string()), NO_VIDEO)
    return pc.if_else(hidden, HIDDEN, no_video)
