"""Tar archives of pictures made on the spot."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

Image = npt.NDArray[np.uint8]


def noise(seed: int, height: int = 24, width: int = 32) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(image: Image) -> bytes:
    return _encode(image, "png", "rgb24")


def jpeg(image: Image) -> bytes:
    return _encode(image, "mjpeg", "yuvj444p")


def _encode(image: Image, codec: str, pixel_format: str) -> bytes:
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "w"))
    context.height, context.width, _ = image.shape
    context.pix_fmt = pixel_format
    context.options = {"qmin": "1", "qmax": "1"} if codec == "mjpeg" else {}
    context.framerate = 25  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def tar(
    files: Mapping[str, bytes],
    *,
    gzipped: bool = True,
    others: Iterable[tarfile.TarInfo] = (),
    flavour: int = tarfile.PAX_FORMAT,
) -> bytes:
    """Gives an archive of files, in this order, behind `others` without content."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz" if gzipped else "w:", format=flavour) as archive:
        for info in others:
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def tar_members(files: Mapping[str, bytes]) -> bytes:
    """Gives the beginning of an archive, without the blocks that end it."""
    size = sum(512 + -(-len(content) // 512) * 512 for content in files.values())
    return tar(files, gzipped=False, flavour=tarfile.USTAR_FORMAT)[:size]
