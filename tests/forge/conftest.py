from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import settings

from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.warping import transform
from mover_ray.forge.base import Clip

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

_FRAMES = 6


class DecodedFrame:
    """A frame as the face stage wants it."""

    def __init__(self, index: int, image: np.ndarray) -> None:
        self.index, self.time_s, self.group, self.image = index, index / 25, 0, image


def read_clip(path: Path, extractor: FaceExtractor) -> Clip:
    with av.open(str(path)) as container:
        decoded = [
            DecodedFrame(index, frame.to_ndarray(format="rgb24"))
            for index, frame in zip(range(_FRAMES), container.decode(video=0), strict=False)
        ]
    seen = [face for face in extractor.extract(decoded).observations if face.track_id == 0]
    back = [np.linalg.inv(np.vstack([face.affine, (0, 0, 1)]))[:2] for face in seen]
    landmarks = [transform(*pair) for pair in zip(back, (f.landmarks for f in seen), strict=True)]
    return Clip(np.stack([frame.image for frame in decoded]), np.stack(landmarks))


@pytest.fixture(scope="session")
def real_clips(data_dir: Path) -> tuple[Clip, Clip]:
    """Two people who face the camera, six frames each."""
    extractor = FaceExtractor(FacePolicy())
    names = ("Obama_clip1", "KristiNoem")
    prefix = "styletalk__samples_source_video_video_"
    paths = [data_dir / "talking" / f"{prefix}{name}.mp4" for name in names]
    first, second = (read_clip(path, extractor) for path in paths)
    return first, second
