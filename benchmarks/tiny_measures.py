"""What trained networks are worth on people that no training has seen.

Shapes:
    S: segments   V: videos   B: faces   N: patches   U: values of a patch   h, w: pixels of a map
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tiny_corpus import HELD_OUT, SEEN, methods

from mover_ray.evaluation.metrics import PixelAuc, iou, roc_auc
from mover_ray.models.base import Detector, FaceBatch
from mover_ray.models.layers.face_mapping import spread_parts
from mover_ray.models.layers.pixels import normalize, patchify
from mover_ray.models.mae import MaskedAutoencoder
from mover_ray.models.mover import Mover
from mover_ray.models.part_masking import MaskingConfig
from mover_ray.training.corpus import REAL, Corpus
from mover_ray.training.loading import Reading, collate
from mover_ray.training.pretrain import hidden_patches
from mover_ray.training.sampler import Indices
from mover_ray.training.samples import Samples, Selection, segments, select

#: Groups of fakes that are measured apart.
GROUPS = {"seen": methods(SEEN), "held_out": methods(HELD_OUT)}
_BATCH = 32
_HALF = 128

Measures = dict[str, float]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.uint8]


@torch.no_grad()
def restoration(model: MaskedAutoencoder, corpus: Corpus, masking: MaskingConfig) -> Measures:
    """Compares the error of hidden patches with that of the mean patch at the same place.

    The mean is over the real faces of training. Crops are aligned, so that it is a mean face,
    which is harder to beat than a mean colour.
    """
    mean_NU = _mean_patches(model, corpus)
    samples = _samples(corpus, "test", 1)
    errors, count = {"mse": 0.0, "baseline_mse": 0.0}, 0
    for chosen, batch in _batches(samples, samples.of(REAL)):
        faces = batch.singles()
        images_BCHW = normalize(faces.faces)
        pairs = zip(faces.landmarks, chosen.tolist(), strict=True)
        hidden_BN = torch.stack([hidden_patches(model, masking, *pair) for pair in pairs])
        own_BNU = patchify(images_BCHW, model.config.patch_px)
        restored = {"mse": model.predict(images_BCHW, hidden_BN), "baseline_mse": mean_NU}
        for name, values_NU in restored.items():
            error_BN = (values_NU - own_BNU).square().mean(dim=2)
            errors[name] += float(error_BN[hidden_BN].sum())
        count += int(hidden_BN.sum())
    means = {name: total / count for name, total in errors.items()}
    return {**means, "below_baseline": 1 - means["mse"] / means["baseline_mse"]}


def _mean_patches(model: MaskedAutoencoder, corpus: Corpus) -> torch.Tensor:
    samples = _samples(corpus, "train", 1)
    real = samples.of(REAL)
    sums = [
        patchify(normalize(batch.singles().faces), model.config.patch_px).sum(dim=0)
        for _, batch in _batches(samples, real)
    ]
    return torch.stack(sums).sum(dim=0) / len(real)


@torch.no_grad()
def video_aucs(detector: Detector, corpus: Corpus) -> Measures:
    """Gives the AUC of videos by head and group; a video has the mean of its segments."""
    samples = _samples(corpus, "test", detector.spec.segment_frames)
    scores: dict[str, list[Floats]] = {}
    for _, batch in _batches(samples, np.arange(len(samples))):
        output = detector(batch.faces, batch.landmarks)
        for name, values_S in {"video": output.logits_S.sigmoid(), **output.head_scores}.items():
            scores.setdefault(name, []).append(values_S.double().numpy())
    return {
        f"{name}_auc_{group}": auc
        for name, parts in scores.items()
        for group, auc in _aucs(np.concatenate(parts), samples).items()
    }


def _aucs(scores_S: Floats, samples: Samples) -> Measures:
    """Gives the AUC of each group of fakes against all real videos."""
    videos_S, corpus = samples.videos, samples.corpus
    count_V = np.bincount(videos_S, minlength=corpus.videos.num_rows)
    sum_V = np.bincount(videos_S, weights=scores_S, minlength=corpus.videos.num_rows)
    tested_V = count_V > 0
    mean_V = sum_V / count_V.clip(min=1)
    real_V = corpus.labels == REAL
    aucs = {}
    for name, fakes in GROUPS.items():
        compared_V = tested_V & (real_V | _is_among(corpus, fakes))
        aucs[name] = roc_auc(~real_V[compared_V], mean_V[compared_V])
    return aucs


@torch.no_grad()
def localization(detector: Detector, corpus: Corpus) -> Measures:
    """Gives the AUC of pixels over all masks of a group, and of trained masks the mean IoU at 0.5.

    Where a detector shows residuals only the face's parts count: nothing is restored beside
    them, and a residual of nought there would be right without any merit.
    """
    samples = _samples(corpus, "test", 1)
    measures = {}
    for group, fakes in GROUPS.items():
        aucs, overlaps = PixelAuc(), []
        chosen = np.flatnonzero(_is_among(corpus, fakes)[samples.videos])
        for known, predicted, counted in _masks(detector, samples, chosen):
            aucs.add(known[counted], predicted[counted])
            if known.any() and detector.mask_kind == "trained":
                overlaps.append(iou(known, predicted >= _HALF))
        measures[f"pixel_auc_{group}"] = aucs.value()
        if overlaps:
            measures[f"iou_{group}"] = float(np.mean(overlaps))
    return measures


def _masks(
    detector: Detector, samples: Samples, chosen: Indices
) -> Iterator[tuple[Bools, Levels, Bools]]:
    """Gives the true mask of each face, the detector's, and which pixels count: [h, w] each."""
    for numbers, batch in _batches(samples, chosen):
        faces = batch.singles()
        maps_Bhw = detector.localize(faces.faces, faces.landmarks)
        levels_Bhw = (maps_Bhw * 255).round().byte().numpy()
        counted_Bhw = _counted(detector, faces, levels_Bhw.shape[-1])
        for place, number in enumerate(numbers.tolist()):
            mask = samples.corpus.mask(int(samples.crops[number, 0]))
            if mask is not None:
                known = cv2.resize(mask, levels_Bhw.shape[:0:-1], interpolation=cv2.INTER_AREA)
                yield known > 0.5, levels_Bhw[place], counted_Bhw[place]


def _counted(detector: Detector, faces: FaceBatch, side: int) -> Bools:
    if not isinstance(detector, Mover):
        return np.ones((len(faces.faces), side, side), dtype=bool)
    parts_Bhw = spread_parts(detector.part_masks(faces.landmarks), side).any(dim=1)
    counted: Bools = parts_Bhw.numpy()
    return counted


def _samples(corpus: Corpus, split: str, frames: int) -> Samples:
    return segments(corpus, select(corpus, Selection(split=split), validation=False), frames)


def _is_among(corpus: Corpus, fakes: tuple[str, ...]) -> Bools:
    return np.array([method in fakes for method in corpus.column("method")])


def _batches(samples: Samples, chosen: Indices) -> Iterator[tuple[Indices, FaceBatch]]:
    """Gives segments as they are, some at a time, with their numbers."""
    reading = Reading(samples=samples, seed=0)
    for first in range(0, len(chosen), _BATCH):
        some = chosen[first : first + _BATCH]
        yield some, collate([reading.single(one, 0) for one in some.tolist()])
