"""What papers report, beside which a table sets its own figures.

Values are percent. Video AUC unless a line says otherwise; trained on FaceForensics++.
"""

from dataclasses import dataclass

_MAE = "DeepfakeMAE (arXiv 2303.01740)"
_FCG = "DFD-FCG (arXiv 2404.05583)"
_GEND = "GenD, LayerNorm-tuned CLIP"

FACEFORENSICS = "faceforensics"


@dataclass(frozen=True, slots=True)
class Published:
    """One figure of one paper."""

    protocol: str
    """Key of `protocols.PROTOCOLS`."""
    dataset: str
    """Name in the catalog, without compression."""
    value: str
    """AUC in percent, as it is reported."""
    detector: str
    """Who reports it."""
    where: str
    """Table of the paper."""
    method: str = ""
    """Manipulation that was tested on; empty for all of the data set."""
    run: str = ""
    """What differs from the detector's usual training, such as the manipulation."""


def _cross_dataset() -> list[Published]:
    reported = {
        (_MAE, "table 1"): {"celebdf-v2": "86.3", "wilddeepfake": "81.8", "dfdc": "75.2"},
        (_FCG, "cross-dataset table"): {
            "celebdf-v2": "95.0",
            "dfdc": "81.8",
            "dfdcp": "86.6-90",
            "wilddeepfake": "87.2",
        },
        (_GEND, "cross-dataset table"): {"celebdf-v2": "96.0", "dfdc": "87.1", "dfd": "about 97"},
    }
    return [
        Published("cross-dataset", dataset, value, detector, where)
        for (detector, where), line in reported.items()
        for dataset, value in line.items()
    ]


def _cross_manipulation() -> list[Published]:
    reported = {
        "Deepfakes": {"Face2Face": "86.6", "FaceSwap": "77.2", "NeuralTextures": "69.4"},
        "Face2Face": {"Deepfakes": "88.9", "FaceSwap": "71.4", "NeuralTextures": "55.1"},
        "FaceSwap": {"Deepfakes": "80.0", "Face2Face": "80.9", "NeuralTextures": "47.3"},
        "NeuralTextures": {"Deepfakes": "85.7", "Face2Face": "63.4", "FaceSwap": "62.4"},
    }
    return [
        Published("cross-manipulation", FACEFORENSICS, value, _MAE, "table 2", method, run)
        for run, line in reported.items()
        for method, value in line.items()
    ]


def _intra() -> list[Published]:
    reported = {
        "Deepfakes": "99.6",
        "FaceSwap": "99.4",
        "Face2Face": "99.4",
        "NeuralTextures": "96.3",
    }
    return [
        Published("intra", FACEFORENSICS, value, _MAE, "table 3, HQ", method)
        for method, value in reported.items()
    ]


def _ablations() -> list[Published]:
    datasets = ("celebdf-v2", "wilddeepfake", "dfdc")
    reported = {
        ("ratio-25", "table 4"): ("85.1", "80.6", "74.4"),
        ("ratio-50", "table 4"): ("86.3", "81.8", "75.2"),
        ("ratio-75", "table 4"): ("84.6", "79.9", "73.7"),
        ("random-patches", "table 5"): ("80.1", "77.6", "70.4"),
        ("eyes", "table 5"): ("82.5", "78.9", "72.9"),
        ("cheek-nose", "table 5"): ("82.1", "78.1", "72.5"),
        ("lips", "table 5"): ("83.4", "79.7", "73.5"),
        ("random-part", "table 5"): ("86.3", "81.8", "75.2"),
        ("finetuning", "table 6"): ("78.3", "75.4", "74.3"),
        ("mapping", "table 6"): ("77.8", "73.5", "70.1"),
        ("no-meta", "table 6"): ("84.3", "80.4", "72.1"),
        ("both", "table 6"): ("86.3", "81.8", "75.2"),
    }
    return [
        Published("ablations", dataset, value, _MAE, where, run=run)
        for (run, where), line in reported.items()
        for dataset, value in zip(datasets, line, strict=True)
    ]


PUBLISHED = (*_cross_dataset(), *_cross_manipulation(), *_intra(), *_ablations())


def published(protocol: str, dataset: str, method: str = "", run: str = "") -> list[Published]:
    """Gives what papers report for one line of a table.

    Args:
        protocol: Key of `protocols.PROTOCOLS`.
        dataset: As the manifest has it; a compression at its end is passed over.
        method: Manipulation of the line; empty for all.
        run: Name of the results; figures of a special training are for its name alone.
    """
    family = family_of(dataset)
    return [
        one
        for one in PUBLISHED
        if (one.protocol, one.dataset, one.method) == (protocol, family, method)
        and one.run in ("", run)
    ]


def family_of(dataset: str) -> str:
    """Gives a data set's name without the compression at its end."""
    head, _, tail = dataset.rpartition("-")
    return head if tail in ("raw", "c23", "c40") else dataset
