"""FaceSwap-like: the partner's face, bent onto the target's landmarks.

As the FaceSwap of FaceForensics++ is: no learning, the source's texture on the target's
shape, its colours matched. Each frame takes the partner's frame of nearest pose.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mover_ray.config import check_range, from_mapping
from mover_ray.forge.base import Clip, Floats, Forgery, Frames, require_partner
from mover_ray.forge.blending import SEAMS, Canvas, hide_seam
from mover_ray.forge.colour import face_statistics, transfer
from mover_ray.forge.detail import Grain, match_detail
from mover_ray.forge.draws import Span, check_span, factor, uniform, until_changed
from mover_ray.forge.landmarks import mesh, smooth, surround, to_unit, unit_maps
from mover_ray.forge.masks import Edge, Region, Waves, hull_outline, place
from mover_ray.forge.partners import Donors, find_donors
from mover_ray.forge.warping import Triangles, warp_points

# The whole face twice, because that is what the method swaps.
_HULLS = ("face", "face", "inner")


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceSwapConfig:
    """Ranges of strengths, one draw a clip. Lengths are shares of the face's side."""

    colour_strength: Span = (0.6, 1.0)
    """Share of the way from the partner's colours to the target's."""
    softness: Span = (0.015, 0.06)
    """Sigma of the mask's edge."""
    cut: Span = (0.1, 0.6)
    """How much of the soft edge is eroded."""
    waves: float = 0.06
    """The hull's radius varies by up to this share."""
    most_distance: float = 0.085
    """Partners whose nearest pose is farther away are refused; see `find_donors`. Ours:
    two people who face the camera are 0.03 to 0.06 apart, an eighth of a turn adds 0.1,
    and beyond 0.085 eyes and brows were torn on the clips that were looked at."""
    sharpness: float = 0.5
    """Fine detail inside is e^±sharpness times the original's."""
    smoothing_frames: float = 1.5
    """Landmarks of both clips are averaged over time with this sigma."""
    colour_smoothing_frames: float = 6.0
    """Colour statistics are averaged over time with this sigma."""

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a value out of its range."""
        check_span(self, "colour_strength", 0, 1)
        check_span(self, "softness", 0, 0.2)
        check_span(self, "cut", 0.02, 0.9)
        check_range(self, "waves", 0, 0.5)
        check_range(self, "most_distance", 0, 1)
        check_range(self, "sharpness", 0, 2)
        check_range(self, "smoothing_frames", 0, 100)
        check_range(self, "colour_smoothing_frames", 0, 1000)


@dataclass(frozen=True, slots=True)
class _Strengths:
    """One set of draws."""

    hull: str
    seam: str
    waves: Waves
    edge: Edge
    colour: float
    sharpness: float
    grain: Grain


@dataclass(frozen=True, slots=True)
class FaceSwap:
    """Gives a clip's person the face of the partner."""

    config: FaceSwapConfig
    name: str = "faceswap"
    needs_partner: bool = True

    def __call__(self, clip: Clip, partner: Clip | None, rng: np.random.Generator) -> Forgery:
        """Forges a clip; see `Manipulation`."""
        giver = require_partner(self.name, partner)
        swap = _Swap.prepare(clip, giver, self.config)
        return until_changed(clip, lambda: swap.forge(_draw(rng, self.config)))


@dataclass(frozen=True, slots=True)
class _Swap:
    """What stays the same however often strengths are drawn."""

    clip: Clip
    landmarks: Floats  # [T, 68, 2], averaged over time
    donors: Donors
    colours: Floats  # [T, 2, 3] of the clip, Lab
    donor_colours: Floats  # [T, 2, 3]

    @classmethod
    def prepare(cls, clip: Clip, giver: Clip, config: FaceSwapConfig) -> "_Swap":
        landmarks = smooth(clip.landmarks, config.smoothing_frames)
        donors = find_donors(landmarks, giver, config.smoothing_frames, config.most_distance)
        chosen, sigma = donors.clip.frames, config.colour_smoothing_frames
        return cls(
            clip=clip,
            landmarks=landmarks,
            donors=donors,
            colours=face_statistics(list(clip.frames), landmarks, sigma),
            donor_colours=face_statistics(
                [chosen[index] for index in donors.frames], donors.landmarks, sigma
            ),
        )

    def forge(self, drawn: _Strengths) -> Forgery:
        maps, points = unit_maps(self.landmarks), to_unit(self.landmarks)
        canvas = Canvas(self.clip)
        for index, face in enumerate(self._faces()):
            frame = self.clip.frames[index]
            outline = drawn.waves.apply(hull_outline(points[index], drawn.hull, 0.0))
            region, mask = place(outline, maps[index], drawn.edge, frame)
            target = region.cut(frame)
            given, wanted = self.donor_colours[index], self.colours[index]
            picture = transfer(face(region), given, wanted, drawn.colour)
            picture = hide_seam(target, picture, mask, drawn.seam)
            picture = match_detail(picture, target, mask, drawn.sharpness, drawn.grain)
            canvas.paint(index, region, picture, mask)
        return canvas.forgery()

    def _faces(self) -> Iterator[Callable[[Region], Frames]]:
        """Gives for each frame what shows the partner's face in a region of it."""
        triangles = mesh(self.landmarks)
        targets, sources = surround(self.landmarks), surround(self.donors.landmarks)
        for target, source, donor in zip(targets, sources, self.donors.frames, strict=True):
            yield partial(_bend, self.donors.clip.frames[donor], source, target, triangles)


def _bend(
    image: Frames, source: Floats, target: Floats, triangles: Triangles, region: Region
) -> Frames:
    return warp_points(image, source, target - region.origin, triangles, region.size)


def build(settings: Mapping[str, Any]) -> FaceSwap:
    """Builds the manipulation.

    Raises:
        ConfigError: A setting is unknown or out of its range.
    """
    return FaceSwap(from_mapping(FaceSwapConfig, settings))


def _draw(rng: np.random.Generator, config: FaceSwapConfig) -> _Strengths:
    return _Strengths(
        hull=str(rng.choice(_HULLS)),
        seam=str(rng.choice(SEAMS)),
        waves=Waves.draw(rng, config.waves),
        edge=Edge(uniform(rng, config.softness), uniform(rng, config.cut)),
        colour=uniform(rng, config.colour_strength),
        sharpness=factor(rng, config.sharpness),
        grain=Grain(rng),
    )
