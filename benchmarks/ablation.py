"""What each choice of Mover's is worth: one thing changed at a time, over several seeds.

    python benchmarks/ablation.py --data DIR --work DIR --seeds 0 1 2 --json FILE

Hiding parts of the face against patches from anywhere in pretraining; the mapping branch with
and without meta-learning; both of its targets. The corpus and its split are the same for all;
seeds draw the weights and the order of training. What is done is not done again: a start with the
same `--work` goes on where the last one stopped.
"""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import parser, report
from tiny_corpus import build_corpus
from tiny_measures import Measures, localization, restoration, video_aucs
from tiny_training import (
    Study,
    join_branches,
    train_autoencoder,
    train_finetuning,
    train_mapping,
)
from train_tiny import BUDGETS

from mover_ray.config import fingerprint, to_mapping
from mover_ray.models.part_masking import MaskingConfig

#: Of the corpus; those of the command line are of the trainings.
_SPLIT_SEED = 0
#: The autoencoders of all variants restore the same patches when they are measured.
_JUDGED_BY = MaskingConfig()

_SHOWN = (
    ("mover.video_auc_seen", "AUC seen"),
    ("mover.video_auc_held_out", "AUC held out"),
    ("mover.mapping_auc_seen", "mapping seen"),
    ("mover.mapping_auc_held_out", "mapping held"),
    ("mover.pixel_auc_seen", "residual seen"),
    ("mae.mse", "restoring"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """Mover with one thing changed."""

    strategy: str = "part"
    """See `MaskingConfig`."""
    meta: bool = True
    """Whether the mapping branch learns by meta-learning."""
    target: str = "unmasked"
    """See `MoverConfig`."""

    @property
    def names(self) -> dict[str, str]:
        """Gives the folder of each training; variants share what they have in common."""
        learning = "meta" if self.meta else "plain"
        return {
            "autoencoder": self.strategy,
            "finetuning": f"{self.strategy}-finetuning",
            "mapping": f"{self.strategy}-mapping-{learning}-{self.target}",
        }


VARIANTS = {
    "as published": Variant(),
    "random patches": Variant(strategy="random_patches"),
    "no meta-learning": Variant(meta=False),
    "stitched target": Variant(target="stitched"),
}


def measure(study: Study, variant: Variant) -> dict[str, Measures]:
    """Trains and measures a variant, or reads what an earlier start has measured."""
    names = variant.names
    depends = {"corpus": study.corpus.facts["fingerprint"], "size": to_mapping(study.size)}
    path = study.folder / f"{names['mapping']}-{fingerprint(depends)[:12]}.json"
    if path.exists():
        known: dict[str, Measures] = json.loads(path.read_text(encoding="utf-8"))
        return known
    mae = train_autoencoder(study, MaskingConfig(strategy=variant.strategy), names["autoencoder"])
    finetuning = train_finetuning(study, mae, names["finetuning"])
    mapping = train_mapping(study, mae, names["mapping"], meta=variant.meta, target=variant.target)
    mover = join_branches(study, finetuning, mapping)
    measures = {
        "mae": restoration(mae, study.corpus, _JUDGED_BY),
        "mover": {**video_aucs(mover, study.corpus), **localization(mover, study.corpus)},
    }
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(measures), encoding="utf-8")
    draft.replace(path)
    return measures


def table(measures: Mapping[str, Sequence[Mapping[str, Measures]]], title: str) -> str:
    """Gives the mean over seeds and, after `±`, half the way from the lowest to the highest."""
    lines = [title, " ".join([f"{'':18}", *(f"{name:>14}" for _, name in _SHOWN)])]
    for variant, by_seed in measures.items():
        cells = []
        for path, _ in _SHOWN:
            part, name = path.split(".")
            values = [one[part][name] for one in by_seed]
            half = (max(values) - min(values)) / 2
            cells.append(f"{statistics.fmean(values):6.3f} ± {half:5.3f}")
        lines.append(" ".join([f"{variant:18}", *cells]))
    return "\n".join(lines)


def main() -> int:
    """Trains what is missing, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True, help="folder for everything made")
    arguments.add_argument("--budget", choices=BUDGETS, default="full", help="how much (full)")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    options = arguments.parse_args()
    budget = BUDGETS[options.budget]
    # The folder of `train_tiny.py` with the same seed: it holds the same corpus.
    work = options.work / f"{options.budget}-{_SPLIT_SEED}"
    corpus = build_corpus(options.data, work, budget.corpus, _SPLIT_SEED)
    measures: dict[str, list[dict[str, Measures]]] = {name: [] for name in VARIANTS}
    study = Study(corpus=corpus, folder=work, size=budget.training, seed=0)
    for seed in options.seeds:
        seeded = replace(study, folder=work / f"ablation-{seed}", seed=seed)
        for name, variant in VARIANTS.items():
            measures[name].append(measure(seeded, variant))
            print(f"seed {seed}: {name}: done", file=sys.stderr, flush=True)
    report({"budget": options.budget, "seeds": options.seeds, "variants": measures}, options.json)
    print(table(measures, f"ablation, budget {options.budget}, seeds {options.seeds}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
