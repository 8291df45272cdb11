"""How a detector is run; read without importing torch."""

from dataclasses import dataclass

from mover_ray.config import check_at_least, check_choice


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringConfig:
    """How the detector is run. On a CPU none of it changes a score but `threads`."""

    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: `cuda` where there is one."""
    threads: int = 1
    """CPU threads of one scorer; fixed, because sums depend on how they are split."""
    batch_segments: int = 8
    """Segments of one forward pass; fewer are padded, so that its shape is always the same."""
    masks: str = "top"
    """Frames whose masks are kept: `all`, `top` (the 3 most suspicious of a track) or `none`."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_choice(self, "device", ("auto", "cpu", "cuda"))
        check_choice(self, "masks", ("all", "top", "none"))
        check_at_least(self, "threads", 1)
        check_at_least(self, "batch_segments", 1)
