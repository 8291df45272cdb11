"""What one video may cost before it is given up."""

from dataclasses import dataclass

from mover_ray.config import check_at_least, check_range


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoBudget:
    """Limits for one video; what goes beyond them costs one row, never a worker."""

    max_pixels: int = 8192 * 4608
    """Most pixels of one frame (width times height); above is `too_large`."""
    max_frames: int = 3_000_000
    """Most frames in the container, sampled or not (13 hours at 60 a second); above is
    `too_large`."""
    max_duration_s: float = 43_200.0
    """Longest video in seconds of presentation time (12 hours); above is `too_large`."""
    max_bytes: int = 64 * 2**30
    """Largest file in bytes; above is `too_large`."""
    max_streams: int = 32
    """Most streams of all kinds in the container; a file with more is refused by the demuxer."""
    wall_s: float = 600.0
    """Longest time in seconds that the caller waits for the decoder, over all attempts; its own
    work between two frames does not count, waiting for a stored video's bytes does. Above is
    `timeout`."""
    cpu_s: int = 600
    """Most CPU seconds of one attempt; above is `timeout`."""
    memory_mib: int = 2048
    """Most address space, in MiB, that one attempt may take beyond that of an idle decoder
    process; above is `out_of_memory`. An 8K video of 10 bits with few references fits. Enforced
    on Linux only."""
    max_attempts: int = 2
    """How often a video whose decoder crashed is tried in all."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_range(self, "max_pixels", 1, 2**29)
        for name in ("max_frames", "max_bytes", "max_streams", "cpu_s", "max_attempts"):
            check_at_least(self, name, 1)
        check_at_least(self, "memory_mib", 16)
        for name in ("max_duration_s", "wall_s"):
            check_at_least(self, name, 0.001)
