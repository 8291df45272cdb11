import pytest

from mover_ray.config import from_mapping, to_mapping
from mover_ray.errors import ConfigError
from mover_ray.video.budget import VideoBudget


def test_settings_survive_the_way_through_plain_values() -> None:
    budget = VideoBudget(max_pixels=1000, wall_s=2.5)
    assert from_mapping(VideoBudget, to_mapping(budget)) == budget


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pixels", 0),
        ("max_pixels", 2**30),
        ("max_frames", 0),
        ("max_duration_s", 0.0),
        ("max_bytes", 0),
        ("max_streams", 0),
        ("wall_s", -1.0),
        ("cpu_s", 0),
        ("memory_mib", 15),
        ("max_attempts", 0),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*: `{value}`"):
        from_mapping(VideoBudget, {name: value})
