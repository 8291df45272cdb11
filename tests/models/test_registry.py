import subprocess
import sys

import pytest

from mover_ray.errors import ConfigError
from mover_ray.models.registry import build_detector


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown detector: `mover2`") as caught:
        build_detector("mover2", {})
    assert caught.value.hint == "did you mean `mover`?"


def test_a_name_like_no_other_lists_the_known() -> None:
    with pytest.raises(ConfigError) as caught:
        build_detector("xyz", {})
    assert caught.value.hint == "known are `delocate`, `fcg`, `ln-clip`, `motion`, `mover`"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting: `mae\.sise`"):
        build_detector("mover", {"mae": {"sise": "tiny"}})


def test_names_and_bundles_are_read_without_torch() -> None:
    code = (
        "import sys\n"
        "import mover_ray.models.bundle, mover_ray.models.registry, mover_ray.models.segments\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_scoring_imports_neither_timm_nor_torchvision() -> None:
    code = (
        "import sys\n"
        "from mover_ray.models.registry import build_detector\n"
        "build_detector('mover', {'mae': {'image_px': 64}})\n"
        "print({'timm', 'torchvision'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
