"""Trains everything on a small forged corpus and measures it on people who were never seen.

    python benchmarks/train_tiny.py --data DIR --work DIR --json FILE
    python benchmarks/train_tiny.py --data DIR --work DIR --budget smoke

Talking heads are forged with four manipulations, of which training sees three; one more, blending
a face with itself, is made while training reads. The full budget is made for half an hour on two
cores; `smoke` takes minutes, shows that all steps work, and its figures mean nothing. A start with
the same `--work` goes on where the last one stopped.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness import parser, report
from tiny_corpus import HELD_OUT, SEEN, CorpusSize, build_corpus
from tiny_measures import Measures, localization, restoration, video_aucs
from tiny_training import (
    Study,
    TrainingSize,
    join_branches,
    train_autoencoder,
    train_delocate,
    train_finetuning,
    train_mapping,
)

from mover_ray.models.part_masking import MaskingConfig

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of everything."""

    corpus: CorpusSize
    training: TrainingSize


BUDGETS = {
    "full": Budget(
        CorpusSize(people=None, videos_each=3, clip_frames=24, crops=6),
        TrainingSize(pretrain_epochs=40, finetuning_epochs=6, mapping_epochs=6, delocate_epochs=8),
    ),
    "smoke": Budget(
        CorpusSize(people=12, videos_each=1, clip_frames=12, crops=4),
        TrainingSize(pretrain_epochs=2, finetuning_epochs=1, mapping_epochs=1, delocate_epochs=1),
    ),
}

#: Figures with what the project aims at (issue 5): row, measure of `run`, least value.
GOALS = (
    ("restoration: error below the mean patch's", "mae.below_baseline", 0.30),
    ("Mover: pixel AUC of residuals, seen", "mover.pixel_auc_seen", 0.60),
    ("Mover: pixel AUC of residuals, held out", "mover.pixel_auc_held_out", None),
    ("Mover, finetuning branch: video AUC, seen", "mover.finetuning_auc_seen", None),
    ("Mover, finetuning branch: video AUC, held out", "mover.finetuning_auc_held_out", None),
    ("Mover, mapping branch: video AUC, seen", "mover.mapping_auc_seen", None),
    ("Mover, mapping branch: video AUC, held out", "mover.mapping_auc_held_out", None),
    ("Mover: video AUC, seen", "mover.video_auc_seen", 0.90),
    ("Mover: video AUC, held out", "mover.video_auc_held_out", 0.75),
    ("Delocate: video AUC, seen", "delocate.video_auc_seen", 0.90),
    ("Delocate: video AUC, held out", "delocate.video_auc_held_out", 0.75),
    ("Delocate: pixel AUC, seen", "delocate.pixel_auc_seen", 0.90),
    ("Delocate: pixel AUC, held out", "delocate.pixel_auc_held_out", 0.75),
    ("Delocate: IoU, seen", "delocate.iou_seen", 0.50),
    ("Delocate: IoU, held out", "delocate.iou_held_out", 0.30),
)


class Clock:
    """Wall seconds by step."""

    def __init__(self) -> None:
        """Starts with none."""
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Made]) -> Made:
        """Does a step and says how long it took."""
        started = time.perf_counter()
        made = work()
        self.seconds[name] = round(time.perf_counter() - started, 1)
        print(f"{name}: {self.seconds[name]} s", file=sys.stderr, flush=True)
        return made


def run(study: Study, clock: Clock) -> dict[str, Measures]:
    """Trains everything and measures it."""
    masking, corpus = MaskingConfig(), study.corpus
    mae = clock("autoencoder", lambda: train_autoencoder(study, masking))
    finetuning = clock("finetuning branch", lambda: train_finetuning(study, mae))
    mapping = clock("mapping branch", lambda: train_mapping(study, mae))
    mover = join_branches(study, finetuning, mapping)
    delocate = clock("delocate", lambda: train_delocate(study, mae))
    return clock(
        "measures",
        lambda: {
            "mae": restoration(mae, corpus, masking),
            "mover": {**video_aucs(mover, corpus), **localization(mover, corpus)},
            "delocate": {**video_aucs(delocate, corpus), **localization(delocate, corpus)},
        },
    )


def table(measures: Mapping[str, Measures], title: str) -> str:
    """Gives the figures with their goals, a line each."""
    lines = [title, f"{'':46} {'found':>6} {'goal':>6}"]
    for row, path, goal in GOALS:
        part, name = path.split(".")
        aim = "" if goal is None else f"{goal:.2f}"
        lines.append(f"{row:46} {measures[part][name]:6.3f} {aim:>6}")
    return "\n".join(lines)


def main() -> int:
    """Trains, measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--work", type=Path, required=True, help="folder for everything made")
    arguments.add_argument("--budget", choices=BUDGETS, default="full", help="how much (full)")
    arguments.add_argument("--seed", type=int, default=0, help="of split and training (0)")
    options = arguments.parse_args()
    budget, clock = BUDGETS[options.budget], Clock()
    work = options.work / f"{options.budget}-{options.seed}"
    corpus = clock("corpus", lambda: build_corpus(options.data, work, budget.corpus, options.seed))
    study = Study(corpus=corpus, folder=work, size=budget.training, seed=options.seed)
    measures = run(study, clock)
    facts = {
        "seed": options.seed,
        "budget": options.budget,
        "seen": SEEN,
        "held_out": HELD_OUT,
        "videos": corpus.videos.num_rows,
        "crops": len(corpus.crops),
    }
    report({**facts, "seconds": clock.seconds, **measures}, options.json)
    print(table(measures, f"train_tiny, budget {options.budget}, seed {options.seed}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
