"""Faces of other people, for manipulations of single pictures that need one.

Shapes:
    F: faces   S: side of a crop
"""

from collections.abc import Sequence

import numpy as np

from mover_ray.forge.base import Clip, Floats, Frames
from mover_ray.forge.landmarks import MIRRORED, to_unit
from mover_ray.forge.partners import shape_distances

#: A crop, uint8 RGB [S, S, 3], and its landmarks [68, 2].
Face = tuple[Frames, Floats]

# Mean squared distance of the landmarks, in sides of the face, under which two pictures
# show the same face at the same moment.
_SAME = 1e-5


class PartnerBank:
    """Gives a partner whose head is turned like the target's. Threads may share it."""

    def __init__(self, faces: Sequence[Face], candidates: int = 24) -> None:
        """Keeps the faces.

        Args:
            faces: At least one.
            candidates: So many are drawn for each target; the one that fits best is taken.
        """
        if not faces:
            raise ValueError("a bank needs at least one face")
        self._faces = list(faces)
        self._candidates = candidates
        plain = np.stack([landmarks for _, landmarks in faces])
        sides = np.array([crop.shape[1] for crop, _ in faces], np.float32)
        mirrored = plain[:, MIRRORED].copy()
        mirrored[..., 0] = (sides - 1)[:, None] - mirrored[..., 0]
        # A partner is turned to the better of its two views later.
        self._shapes_2F = (to_unit(plain), to_unit(mirrored))

    def __len__(self) -> int:
        return len(self._faces)

    def draw(self, landmarks: Floats, rng: np.random.Generator) -> Face | None:
        """Gives a face for a target; None where the bank holds only the target itself.

        Args:
            landmarks: [68, 2] of the target.
            rng: The one source of chance.
        """
        drawn = rng.choice(len(self), min(self._candidates, len(self)), replace=False)
        target = to_unit(landmarks[None])
        views = [shape_distances(target, shapes[drawn])[0] for shapes in self._shapes_2F]
        distances = np.where(views[0] < _SAME, np.inf, np.minimum(*views))
        best = int(distances.argmin())
        return self._faces[int(drawn[best])] if np.isfinite(distances[best]) else None


def still(face: Face) -> Clip:
    """Gives a face as a clip of one frame."""
    crop, landmarks = face
    return Clip(crop[None], landmarks[None])
