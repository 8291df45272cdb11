"""First pass of `forge`: which face is in a clip, where, and how large.

Columns in: `schemas.MANIFEST`. Columns out: `schemas.SURVEY`; the landmarks of every
frame go into an object of their own.
"""

import io
import time
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mover_ray.errors import InputError
from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.policy import FacePolicy
from mover_ray.stages.base import Row, manifest_columns
from mover_ray.stages.face_path import FacePath, FacePathConfig, main_face
from mover_ray.stages.fetch import fetched
from mover_ray.status import Status
from mover_ray.storage import join, storage_for
from mover_ray.video.budget import VideoBudget
from mover_ray.video.footage import Footage, FootageLimits, read_footage
from mover_ray.video.isolation import demand_sandbox
from mover_ray.video.sandbox import Frame, VideoReader

# Nobody looks at the crops, which cost time by their pixels.
_CROP_PX: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SurveyConfig:
    """What part of a video is forged."""

    footage: FootageLimits = field(default_factory=FootageLimits)
    """How much of each video is read."""
    path: FacePathConfig = field(default_factory=FacePathConfig)
    """When a face counts as seen throughout."""
    faces: FacePolicy = field(default_factory=FacePolicy)
    """How faces are found; the crop's size and margin mean nothing here."""


class SurveyClips:
    """Follows the main face of a video and keeps its landmarks."""

    def __init__(
        self,
        config: SurveyConfig,
        budget: VideoBudget,
        base: str,
        *,
        require_sandbox: bool = False,
    ) -> None:
        """Loads the face models; the decoder's process starts with the first video.

        Args:
            config: What part of a video is looked at.
            budget: Limits of one video.
            base: Folder or prefix for the landmarks.
            require_sandbox: Do not start on a machine where no sandbox works.

        Raises:
            ConfigError: A sandbox is required and there is none.
        """
        if require_sandbox:
            demand_sandbox()
        self._config = config
        self._budget = budget
        self._base = base
        self._extractor = FaceExtractor(replace(config.faces, size_px=_CROP_PX))
        self._reader = VideoReader(budget)

    def __call__(self, row: Row) -> Row:
        """Gives the row of one source video."""
        out = {
            **manifest_columns(row),
            "status": str(Status.OK),
            "error": None,
            "attempts": 1,
            "flags": [],
        }
        try:
            path = self._fill(out, row)
        except InputError as error:
            out.update(status=str(error.status), error=str(error), attempts=error.attempts)
        else:
            write_landmarks(self._base, row["video_id"], path.landmarks)
        return out

    def close(self) -> None:
        """Ends the decoder's process."""
        self._reader.close()

    def _fill(self, out: Row, row: Row) -> FacePath:
        with fetched(row, self._budget.max_bytes) as video:
            out["sha256"] = video.sha256
            footage = read_footage(self._reader, video.descriptor, self._config.footage)
        info = footage.info
        out.update(
            duration_s=info.duration_s,
            fps=footage.fps,
            width=info.width,
            height=info.height,
            codec=info.codec,
            num_frames=info.num_frames,
            decode_ms=footage.decode_ms,
        )
        started = time.perf_counter()
        path = main_face(self._extractor.extract(_as_sampled(footage)), self._config.path)
        out.update(
            faces_ms=(time.perf_counter() - started) * 1000,
            first_frame=path.first,
            clip_frames=len(path.landmarks),
            face_px=path.face_px,
            jaw=path.jaw().tolist(),
        )
        return path


def _as_sampled(footage: Footage) -> list[Frame]:
    return [
        Frame(index, index / footage.fps, (index,), image)
        for index, image in enumerate(footage.frames)
    ]


def write_landmarks(base: str, video_id: int, landmarks: NDArray[np.float32]) -> None:
    """Writes the landmarks of a clip, float32 [T, 68, 2], whole."""
    file = io.BytesIO()
    np.save(file, landmarks, allow_pickle=False)
    uri = _landmarks_uri(base, video_id)
    storage_for(uri).write(uri, file.getvalue())


def read_landmarks(base: str, video_id: int) -> NDArray[np.float32]:
    """Reads back what `write_landmarks` wrote."""
    uri = _landmarks_uri(base, video_id)
    data = io.BytesIO(storage_for(uri).read(uri))
    return np.asarray(np.load(data, allow_pickle=False), dtype=np.float32)


def _landmarks_uri(base: str, video_id: int) -> str:
    return join(base, f"{video_id}.npy")
