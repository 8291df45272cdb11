"""How a training goes: what decides the weights, and what only the machine."""

from dataclasses import dataclass

from mover_ray.config import check_at_least, check_choice, check_range
from mover_ray.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What decides the weights, whatever the machine."""

    epochs: int = 100
    """Times that every sample is seen."""
    batch_size: int = 32
    """Units of an optimizer step, all ranks together; a unit is a face, or a real segment
    with its fake. The number of ranks does not change what is learned."""
    seed: int = 0
    """Of the order of samples, the augmentation and the masks."""
    precision: str = "float32"
    """`float32`, or `bfloat16` through autocast."""
    clip_norm: float | None = None
    """Largest norm of the gradient; null: whatever it is."""
    ema_decay: float = 0.0
    """Memory of the averaged weights that are validated and kept; 0: there are none."""
    patience: int = 0
    """Epochs without a better validation after which training ends; 0: never early."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        check_at_least(self, "epochs", 1)
        check_at_least(self, "batch_size", 1)
        check_at_least(self, "seed", 0)
        check_choice(self, "precision", ("float32", "bfloat16"))
        check_range(self, "ema_decay", 0.0, 0.999999)
        check_at_least(self, "patience", 0)
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(f"clip_norm is too small: `{self.clip_norm}`")


@dataclass(frozen=True, kw_only=True, slots=True)
class Habits:
    """What may change between a training and its resumption."""

    micro_batch: int = 32
    """Most units that a rank computes at once; gradients add up to a whole batch. The
    limit is memory. (Batch norm sees micro-batches: keep it where there is any.)"""
    compile: bool = False
    """Whether `torch.compile` translates the model: minutes at the start, faster steps."""
    checkpoint_steps: int = 500
    """A checkpoint after so many steps, beside that of each epoch; 0: none."""
    keep: int = 2
    """Newest checkpoints that stay, beside the best."""
    log_steps: int = 20
    """Metrics are written after so many steps."""
    threads: int = 4
    """Threads that read and augment crops."""
    ahead: int = 4
    """Micro-batches that are read ahead."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("micro_batch", "keep", "log_steps", "threads", "ahead"):
            check_at_least(self, name, 1)
        check_at_least(self, "checkpoint_steps", 0)
