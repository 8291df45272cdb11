"""What work costs: seconds of machines a video, and prices of machines."""

from dataclasses import dataclass
from typing import Final

from mover_ray.config import check_at_least

#: Face crops that a GPU scores in a second. The goal for ViT-B/16 in bf16 on an H200,
#: one encoder pass a crop; no measurement of this project yet. A finished run on GPUs
#: says better (`mover-ray plan --like DEST`).
FACES_PER_GPU_S: Final = 8000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PricesConfig:
    """The section `[prices]` of the settings: what the cluster's machines cost."""

    currency: str = "USD"
    """What the prices are in."""
    cpu_hour: float | None = None
    """Price of a CPU for an hour; None where it is unknown."""
    gpu_hour: float | None = None
    """Price of a GPU for an hour, with the CPUs that come with it."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` with the name and the value of a wrong field."""
        for name in ("cpu_hour", "gpu_hour"):
            if getattr(self, name) is not None:
                check_at_least(self, name, 0.0)

    def cost(self, cpu_hours: float, gpu_hours: float) -> float | None:
        """Gives what so many hours cost; None where a price that counts is unknown."""
        used = ((cpu_hours, self.cpu_hour), (gpu_hours, self.gpu_hour))
        cost = 0.0
        for hours, price in used:
            if hours and price is None:
                return None
            cost += hours * (price or 0.0)
        return cost
