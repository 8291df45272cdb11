"""Which frames of the partner go with which frames of the target."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mover_ray.forge.base import Clip, Floats, ForgeError
from mover_ray.forge.landmarks import MIRRORED, smooth, to_unit
from mover_ray.status import Status

# Price of each frame that is skipped or gone back in the partner, in units of the mean
# squared distance between the shapes of two random frames.
_JUMP_PRICE = 0.02
_JAW = slice(0, 17)


@dataclass(frozen=True, slots=True)
class Donors:
    """A partner, turned to face the target's way, and the frame chosen for each of T frames."""

    clip: Clip
    """The partner, mirrored where that comes nearer to the target's pose."""
    landmarks: Floats
    """[T, 68, 2] of the chosen frames, averaged over time."""
    frames: list[int]
    """T indices into `clip`."""


def find_donors(
    landmarks: Floats, partner: Clip, smoothing_frames: float, most_distance: float
) -> Donors:
    """Chooses the partner's frame for each frame of the target.

    Args:
        landmarks: [T, 68, 2] of the target.
        partner: Another person.
        smoothing_frames: Sigma of the average of the partner's landmarks over time.
        most_distance: See `ForgeError`.

    Raises:
        ForgeError: The jaws, once eyes, nose and mouth are aligned, differ for the median
            frame by a root mean square of more than `most_distance` sides of the face: the
            heads are turned differently, and a texture bent that far is no face.
    """
    target, views = to_unit(landmarks), (partner, mirror(partner))
    series = [smooth(view.landmarks, smoothing_frames) for view in views]
    units = [to_unit(points) for points in series]
    poses = [_pose_distance(target, points) for points in units]
    view = int(poses[1] < poses[0])
    if poses[view] > most_distance:
        raise ForgeError(
            Status.UNSUPPORTED,
            f"the partner's face is turned too differently: distance {poses[view]:.3f}, "
            f"at most {most_distance:.3f} is allowed",
        )
    path = cheapest_path(shape_distances(target, units[view]))
    return Donors(views[view], series[view][path], path.tolist())


def pose_distance(landmarks: Floats, partner: Clip) -> float:
    """Gives how differently two heads are turned: what `find_donors` judges a partner by."""
    target = to_unit(landmarks)
    views = (partner, mirror(partner))
    return min(_pose_distance(target, to_unit(view.landmarks)) for view in views)


def mirror(clip: Clip) -> Clip:
    """Gives the clip as seen in a mirror."""
    landmarks = clip.landmarks[:, MIRRORED].copy()
    landmarks[..., 0] = clip.frames.shape[2] - 1 - landmarks[..., 0]
    return Clip(clip.frames[:, :, ::-1], landmarks)


def _pose_distance(target: Floats, partner: Floats) -> float:
    nearest = shape_distances(target[:, _JAW], partner[:, _JAW]).min(axis=1)
    return float(np.sqrt(np.median(nearest)))


def shape_distances(target: Floats, partner: Floats) -> Floats:
    """Gives the mean squared distance [T, P] of unit points [T, K, 2] and [P, K, 2]."""
    a, b = (points.reshape(len(points), -1).astype(np.float64) for points in (target, partner))
    squares = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return np.asarray(np.maximum(squares, 0) / target.shape[1], dtype=np.float32)


def cheapest_path(distances: Floats) -> npt.NDArray[np.intp]:
    """Gives the partner's frame [T] for each frame, few jumps being better than many.

    The cheapest path by dynamic programming: distances [T, P] of the shapes and a price on
    jumps in the partner's time, so that one noisy frame does not make the face flicker.
    """
    order = np.arange(distances.shape[1])
    jump = _JUMP_PRICE * float(distances.mean()) * np.abs(order[:, None] - order)
    cost, came_from = distances[0], np.zeros(distances.shape, dtype=np.intp)
    for index in range(1, len(distances)):
        total = cost[:, None] + jump
        came_from[index] = total.argmin(axis=0)
        cost = distances[index] + total.min(axis=0)
    path = np.empty(len(distances), dtype=np.intp)
    path[-1] = cost.argmin()
    for index in range(len(distances) - 1, 0, -1):
        path[index - 1] = came_from[index, path[index]]
    return path
