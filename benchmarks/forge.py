"""Pairs of real and pseudo-fake crops a second, and whether quality alone tells them apart.

    python benchmarks/forge.py --data DIR --json FILE

For each family the AUC of two measures of sharpness under the mask, before the shared changes of
quality and after them: 0.5 means that a fake is as often the sharper one as not. Figures are CPU
seconds of one core, because a busy machine leaves those alone.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from harness import cpu_seconds, parser, report, use_one_core
from sklearn.metrics import roc_auc_score

from mover_ray.faces.extractor import FaceExtractor
from mover_ray.faces.policy import FacePolicy
from mover_ray.forge.augment import Pair, PairAugment, PairConfig
from mover_ray.forge.base import Floats, ForgeError, Frames
from mover_ray.forge.partner_bank import PartnerBank
from mover_ray.forge.quality import QualityConfig

_FAMILIES = ("self_blended", "neuraltextures", "face2face", "faceswap", "deepfakes")
_AS_IS = QualityConfig(flip=0, recolour=0, uneven=0, blur=0, rescale=0, noise=0, jpeg=0)

Crop = tuple[Frames, Floats]
Measure = Callable[[npt.NDArray[np.float32]], float]

#: Of the gray levels' Laplacian: edges weigh most in the one, texture and noise in the other.
_SHARPNESS: dict[str, Measure] = {
    "edges": lambda values: float(values.var()),
    "texture": lambda values: float(np.median(np.abs(values))),
}


class Still:
    """A picture as the face stage takes it."""

    def __init__(self, image: Frames) -> None:
        """Makes it the first frame of a video."""
        self.index, self.time_s, self.group, self.image = 0, 0.0, 0, image


def read_crops(folder: Path, count: int) -> list[Crop]:
    """Gives aligned crops of 224 px with their landmarks, one a picture with a face."""
    extractor = FaceExtractor(FacePolicy(eligible_frames=1, eligible_score=0.5))
    crops: list[Crop] = []
    for path in sorted(folder.glob("*.jpg")):
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
        # The pictures are cut at the chin; detectors want to see some room.
        framed = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_REFLECT_101)
        found = extractor.extract([Still(framed)]).observations[:1]
        crops += [(face.crop, face.landmarks) for face in found if face.crop is not None]
        if len(crops) == count:
            return crops
    raise SystemExit(f"{folder} holds {len(crops)} faces; {count} are needed")


def make_pairs(augment: PairAugment, crops: list[Crop]) -> list[Pair]:
    """Makes one pair of each crop; partners that do not fit give none."""
    pairs = []
    for seed, (crop, landmarks) in enumerate(crops):
        try:
            pairs.append(augment(crop, landmarks, np.random.default_rng(seed)))
        except ForgeError:
            continue
    return pairs


def balance(pairs: list[Pair]) -> dict[str, float]:
    """Gives the AUC of each measure of sharpness as a detector of fakes."""
    labels = np.repeat([0, 1], len(pairs))
    return {
        name: float(
            roc_auc_score(
                labels,
                [measure(_laplacian(pair.real, pair.mask)) for pair in pairs]
                + [measure(_laplacian(pair.fake, pair.mask)) for pair in pairs],
            )
        )
        for name, measure in _SHARPNESS.items()
    }


def _laplacian(crop: Frames, mask: Floats) -> npt.NDArray[np.float32]:
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    values: npt.NDArray[np.float32] = cv2.Laplacian(gray, cv2.CV_32F)[mask > 0.5]
    return values


def measure_family(name: str, crops: list[Crop]) -> dict[str, float]:
    """Gives speed and balance of one family."""
    partners = PartnerBank(crops)
    plain, shared = (
        PairAugment(PairConfig(families={name: 1.0}, quality=quality), partners)
        for quality in (_AS_IS, QualityConfig())
    )
    pairs: list[Pair] = []
    seconds = cpu_seconds(lambda: pairs.extend(make_pairs(shared, crops)))
    before, after = balance(make_pairs(plain, crops)), balance(pairs)
    return {
        "pairs_per_s": len(crops) / seconds,
        "refused": 1 - len(pairs) / len(crops),
        **{f"auc_{key}": value for key, value in before.items()},
        **{f"auc_{key}_shared": value for key, value in after.items()},
    }


def main() -> int:
    """Measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--crops", type=int, default=200, help="faces (200)")
    options = arguments.parse_args()
    use_one_core()
    crops = read_crops(options.data / "faces", options.crops)
    report({name: measure_family(name, crops) for name in _FAMILIES}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
