from collections.abc import Callable
from importlib.resources import files

import cv2
import numpy as np
import pytest
from hypothesis import settings

from mover_ray.faces.base import Floats, Image
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.policy import FacePolicy

# A busy machine makes single examples slow; the suite has a limit of its own.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


@pytest.fixture(scope="session")
def portrait() -> Image:
    """The repository's portrait: one frontal face, 512x512."""
    path = files("mover_ray.operations") / "data" / "astronaut.jpg"
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@pytest.fixture(scope="session")
def extractor() -> FaceExtractor:
    return FaceExtractor(FacePolicy())


# Median of 987 real faces, symmetric; the face fills [0, 1].
_MEAN_FACE = """
0 .184 .006 .314 .021 .445 .043 .575 .087 .696 .163 .804 .262 .893 .374 .961 .5 .982 .626 .961
.738 .893 .837 .804 .913 .696 .957 .575 .979 .445 .994 .314 1 .184 .094 .091 .156 .035 .242 .018
.331 .031 .417 .066 .583 .066 .669 .031 .758 .018 .844 .035 .906 .091 .5 .166 .5 .253 .5 .339
.5 .428 .395 .48 .446 .499 .5 .515 .554 .499 .605 .48 .195 .178 .249 .148 .313 .149 .369 .191
.309 .201 .245 .199 .631 .191 .687 .149 .751 .148 .805 .178 .755 .199 .691 .201 .297 .631
.368 .603 .443 .591 .5 .603 .557 .591 .632 .603 .703 .631 .634 .705 .562 .74 .5 .747 .438 .74
.366 .705 .328 .636 .442 .634 .5 .64 .558 .634 .672 .636 .559 .674 .5 .681 .441 .674
"""


@pytest.fixture(scope="session")
def mean_face() -> Callable[..., Floats]:
    """Makes 68 points of an upright or turned face of a given size and place."""
    unit = np.array(_MEAN_FACE.split(), dtype=np.float64).reshape(68, 2)

    def make(side: float = 160.0, centre: tuple[float, float] = (112.0, 112.0), turn: float = 0.0):
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return ((unit - 0.5) @ rotation * side + centre).astype(np.float32)

    return make
