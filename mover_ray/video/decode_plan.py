"""Which packets are decoded for the chosen frames: pure index arithmetic."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mover_ray.video.packet_table import PacketTable
from mover_ray.video.sampling import Indices

#: Fewest packets that going to a keyframe must save. Measured: finding one by the header's index
#: and emptying the decoder takes 0.05 ms, a 480p frame 1.3 ms; but the seek ends FFmpeg's
#: read-ahead, and a range request more costs as much as some frames.
LEAST_SKIPPED: Final = 4

#: A request over the network takes as long as the reading of so many bytes more.
LEAST_GAP_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A run of packets, decoded one after another from a clean start."""

    start: int
    """First packet, a keyframe or the first one of all."""
    stop: int
    """One behind the last packet that a chosen frame needs."""
    frames: int
    """Chosen frames that are there when the span ends, those of earlier spans included."""


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """What is read and decoded for the chosen frames."""

    wanted: tuple[int, ...]
    """Packets of the chosen frames, in display order."""
    spans: tuple[Span, ...]
    """Runs of packets to decode, in storage order."""
    extents: tuple[tuple[int, int], ...]
    """(first byte, one behind the last byte) of each stretch of the file that holds them,
    ascending; empty where the container does not tell."""

    @property
    def packets_planned(self) -> int:
        """Number of packets that go through the decoder."""
        return sum(span.stop - span.start for span in self.spans)

    @property
    def bytes_planned(self) -> int:
        """Bytes of the file that are read for them, the container's header apart."""
        return sum(end - start for start, end in self.extents)


def plan_decoding(table: PacketTable, wanted: Indices) -> DecodePlan:
    """Plans the decoding of chosen frames.

    Args:
        table: All packets.
        wanted: [W], packets of the chosen frames in display order, at least one.
    """
    spans = plan_spans(table.pts, table.keyframes & table.shown, wanted)
    # Without an index by which to seek, everything is read up to the last packet.
    extents = () if table.seek_ticks is None else span_extents(spans, table.positions, table.sizes)
    return DecodePlan(tuple(wanted.tolist()), spans, extents)


def plan_spans(
    pts: npt.NDArray[np.int64],
    keyframes: npt.NDArray[np.bool_],
    wanted: Indices,
    least_skipped: int = LEAST_SKIPPED,
) -> tuple[Span, ...]:
    """Chooses where decoding starts anew, so that no packet is decoded that saves no frame.

    A frame can be decoded from a keyframe that is neither stored nor shown after it: what is
    stored after a keyframe but shown before it may refer to frames further back.

    Args:
        pts: [P], when the frame of each packet is shown, in storage order.
        keyframes: [P], True where decoding can start. At the first packet it always can.
        wanted: [W], packets of the chosen frames in display order, at least one.
        least_skipped: Packets that must lie between two spans.

    Returns:
        Spans in storage order that do not overlap. Each ends with a packet of a chosen frame.
    """
    starts = _starts(pts, keyframes, wanted)
    # Behind these packets all frames up to a chosen one are decoded.
    stops = np.maximum.accumulate(wanted) + 1
    opens = np.flatnonzero(starts[1:] >= stops[:-1] + least_skipped) + 1
    first = int(starts[0]) if starts[0] >= least_skipped else 0
    bounds = [0, *opens.tolist(), len(wanted)]
    return tuple(
        Span(int(starts[low]) if low else first, int(stops[high - 1]), high)
        for low, high in itertools.pairwise(bounds)
    )


def span_extents(
    spans: tuple[Span, ...],
    positions: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    least_gap: int = LEAST_GAP_BYTES,
) -> tuple[tuple[int, int], ...]:
    """Gives the stretches of the file that hold the spans' packets.

    Args:
        spans: Of `plan_spans`.
        positions: [P], first byte of each packet.
        sizes: [P], bytes of each packet.
        least_gap: Stretches at a smaller distance in bytes become one.

    Returns:
        (first byte, one behind the last byte) of each, ascending, none touching another.
    """
    ends = positions + sizes
    found = sorted(
        (int(positions[span.start : span.stop].min()), int(ends[span.start : span.stop].max()))
        for span in spans
    )
    merged = found[:1]
    for start, end in found[1:]:
        if start <= merged[-1][1] + least_gap:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def _starts(
    pts: npt.NDArray[np.int64], keyframes: npt.NDArray[np.bool_], wanted: Indices
) -> Indices:
    """Gives the last packet from which each chosen frame, and all later ones, can be decoded."""
    candidates = np.flatnonzero(keyframes)
    # Keyframes are shown in the order in which they are stored, but in damaged files.
    candidates = candidates[pts[candidates] == np.maximum.accumulate(pts[candidates])]
    stored = np.searchsorted(candidates, wanted, side="right")
    shown = np.searchsorted(pts[candidates], pts[wanted], side="right")
    starts = np.concatenate([[0], candidates])[np.minimum(stored, shown)]
    return np.minimum.accumulate(starts[::-1])[::-1]
