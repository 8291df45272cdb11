"""Where decoded frames go in tests."""

from collections.abc import Sequence

from mover_ray.video.joint_plan import Groups
from mover_ray.video.probe import VideoInfo
from tests.video.media import Image


class Collected:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.described: VideoInfo | None = None
        self.num_sampled = 0
        self.frames: list[tuple[int, float, int, Image]] = []
        self.flags: tuple[str, ...] = ()
        self.extents: Sequence[tuple[int, int]] = ()

    def info(self, info: VideoInfo, num_sampled: int, max_gap_s: float) -> None:
        assert self.described is None
        self.described, self.num_sampled = info, num_sampled

    def plan(self, spans: Sequence[tuple[int, int]]) -> None:
        self.extents = spans

    def frame(self, index: int, time_s: float, groups: Groups, image: Image) -> None:
        group = next(one for one in groups if one is not None)
        self.frames.append((index, time_s, group, image.copy()))

    @property
    def video(self) -> VideoInfo:
        assert self.described is not None
        return self.described

    @property
    def indices(self) -> list[int]:
        return [frame[0] for frame in self.frames]

    @property
    def times(self) -> list[float]:
        return [frame[1] for frame in self.frames]
