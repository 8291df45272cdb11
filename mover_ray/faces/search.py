"""Finds the faces of a video's frames: everywhere now and then, near their places between."""

from collections.abc import Sequence

import numpy as np

from mover_ray.faces.base import Detections, FaceDetector, Image
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.watch import PictureWatch
from mover_ray.faces.windows import NOTHING, find_in_window, find_shrunk, merge, squares

# Between two of 32 frames of a minute a speaker's head moves by less than its own size.
_WINDOW_FACES = 2.5
# The longer side of a face has 32 pixels in such a window, the shorter one 24 or more:
# CenterFace finds every plain face of that size.
_WINDOW_PX = 80
# Longer side at which something new is looked at.
_NEW_PX = 128
# Where that is too small for the least face, everything is searched so many times as often.
_SOONER = 2
# What a run of the detector costs beside its pixels, in pixels.
_RUN_PX = 5000


class FaceSearch:
    """Finds the faces of one video's frames, in their order.

    A frame is searched everywhere if no face is known, after a cut, if fewer faces are found
    again than were known, and every `FacePolicy.search_every` frames; twice as often where a
    place that changes is too large to be looked at in full. Else known faces are
    searched for around their last places, and the place that has changed most is looked
    at for new ones. What is found depends on the frames of this video up to the present
    one and on nothing else.
    """

    def __init__(self, detector: FaceDetector, policy: FacePolicy) -> None:
        """Starts a new video."""
        self._detector = detector
        self._policy = policy
        self._watch = PictureWatch()
        self._known = NOTHING
        self._since = 0
        self._every = policy.search_every
        self.everywhere = 0
        """Frames that were searched everywhere."""

    def find(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of the next frames.

        Args:
            images: uint8 RGB [H, W, 3] each, in order.

        Returns:
            One entry an image, boxes in its pixels.
        """
        if self._policy.search_every == 1:
            self.everywhere += len(images)
            sizes = [search_px(image, self._policy) for image in images]
            return find_shrunk(self._detector, images, sizes)
        return [self._next(image) for image in images]

    def _next(self, image: Image) -> Detections:
        another = self._watch.look(image)
        self._since += 1
        found = None if another or not self._may_follow(image) else self._follow(image)
        if found is None:
            found = find_shrunk(self._detector, [image], [search_px(image, self._policy)])[0]
            self._watch.searched()
            self._since = 0
            self._every = self._policy.search_every
            self.everywhere += 1
        self._known = found.select(np.arange(len(found)) < self._policy.max_faces)
        return found

    def _may_follow(self, image: Image) -> bool:
        """Tells whether faces are known, it is too early to search everywhere, and dearer."""
        if not len(self._known) or self._since >= self._every:
            return False
        height, width = image.shape[:2]
        scale = search_px(image, self._policy) / max(height, width)
        everywhere_px = height * width * scale * scale + _RUN_PX
        return bool(len(self._known) * (_WINDOW_PX**2 + _RUN_PX) < everywhere_px)

    def _follow(self, image: Image) -> Detections | None:
        """Finds the known faces again, and perhaps others; None if there are fewer."""
        around = squares(self._known.boxes, _WINDOW_FACES)
        found = [find_in_window(self._detector, image, one, _WINDOW_PX) for one in around]
        faces = merge(found)
        least = self._policy.eligible_score
        if (faces.scores >= least).sum() < (self._known.scores >= least).sum():
            return None
        self._watch.searched(around)
        return self._with_new(image, faces)

    def _with_new(self, image: Image, faces: Detections) -> Detections:
        """Adds the faces found where the picture has changed most."""
        place = self._watch.newest()
        if place is None:
            return faces
        self._watch.searched(place[None])
        longer_px = float((place[2:] - place[:2]).max())
        if longer_px * search_px(image, self._policy) > _NEW_PX * max(image.shape[:2]):
            self._every = max(1, self._policy.search_every // _SOONER)
        return merge([faces, find_in_window(self._detector, image, place, _NEW_PX)])


def search_px(image: Image, policy: FacePolicy) -> int:
    """Gives the longer side, in pixels, at which the policy has a whole frame searched."""
    longer = max(image.shape[:2])
    wanted = round(longer * policy.detection_face_px / policy.eligible_face_px)
    return int(max(1, min(longer, wanted, policy.detection_size_px)))
