"""Decodes the sampled frames of one video. Runs in the child only, on untrusted bytes."""

from typing import BinaryIO

from mover_ray.video.budget import VideoBudget
from mover_ray.video.decode_plan import plan_decoding
from mover_ray.video.decoder import (
    DerailedError,
    PacketDecoder,
    PacketReader,
    SpanDecoder,
    decode_all,
)
from mover_ray.video.delivery import Delivery
from mover_ray.video.frame_list import FrameList, list_frames
from mover_ray.video.image_sequence import decode_sequence
from mover_ray.video.joint_plan import JointPlan
from mover_ray.video.request import DecodeRequest, FrameSink
from mover_ray.video.source import open_source
from mover_ray.video.window_file import WindowFile


def decode_video(file: BinaryIO, request: DecodeRequest, sink: FrameSink) -> tuple[str, ...]:
    """Finds the frames of a video, chooses some by the policy, and gives them in display order.

    Only what the chosen frames need is read and decoded, where the container tells what that is;
    in an undamaged video they are those of a full linear decode, bit for bit. A frame's index is
    its position in such a decode; its time counts from the first frame. Where a chosen frame
    cannot be decoded, the next one that can be stands in.

    Args:
        file: Seekable.
        request: Which frames, and the limits.
        sink: Takes the results.

    Returns:
        Flags: `truncated`, `decode_errors` in what was decoded, `frames_missing`,
        `size_changed` between decoded frames, `colour_guessed`, and `seek_failed` where a
        keyframe of the container is none and all was decoded from the start. For those of a
        sequence of pictures see `decode_sequence`.

    Raises:
        InputError: The video cannot be used.
        MemoryError: The limit on memory was met.
    """
    if request.folder is not None:
        return decode_sequence(file, request.folder, request, sink)
    window = WindowFile(file, sink.plan)
    listed = list_frames(window, request.budget)
    plan = request.plan(listed.index.timeline())
    delivery = Delivery(listed, plan, request, sink)
    flags = {"truncated"} if listed.truncated else set()
    try:
        decoder = _deliver_planned(window, listed, plan, delivery)
    except DerailedError:
        flags.add("seek_failed")
        decoder = None
    if decoder is None:
        decoder = _deliver_linearly(window, request.budget, delivery)
    if delivery.empty:
        raise decoder.no_frame_error()
    if decoder.errors:
        flags.add("decode_errors")
    return tuple(sorted(flags | delivery.flags()))


def _deliver_planned(
    window: WindowFile, listed: FrameList, plan: JointPlan, delivery: Delivery
) -> PacketDecoder | None:
    """Decodes what the chosen frames need, or gives None where a linear decode is needed.

    Raises:
        DerailedError: Decoding cannot start where the container says.
    """
    if listed.table is None:
        return None
    decoding = plan_decoding(listed.table, listed.index.packets[list(plan.indices)])
    if decoding.extents:
        window.expect(decoding.extents)
    decoder = PacketDecoder(listed.source.stream)
    spans = SpanDecoder(listed.reader, decoder, listed.table, decoding)
    for span in decoding.spans:
        for frame in spans.decode(span):
            delivery.take(frame)
            if delivery.passed == span.frames:
                break
        else:
            return None
    return decoder


def _deliver_linearly(window: WindowFile, budget: VideoBudget, delivery: Delivery) -> PacketDecoder:
    """Decodes from the start up to the last chosen frame, and gives what was not given yet."""
    window.expect_all()
    source = open_source(window.binary, budget)
    decoder = PacketDecoder(source.stream)
    delivery.rewind()
    for frame in decode_all(PacketReader(source), decoder):
        delivery.take(frame)
        if delivery.complete:
            break
    return decoder
