"""Trains, scores and evaluates every detector on one forged corpus, and prints one table.

    python benchmarks/train_all.py --data DIR --weights FILE --work DIR --json FILE
    python benchmarks/train_all.py --data DIR --weights FILE --work DIR --budget smoke --only fcg

Everything goes through the commands' own pipelines: forge, extract, train, score, evaluate.
Talking heads are forged with four manipulations, of which training sees three, and once more by
putting real frames in a wrong order: `temporal`. No single frame of that is altered, so only
detectors of motion learn it; the others would learn that real faces are fake. The full budget is
made for half an hour a detector on two cores; `smoke` takes minutes and its figures mean nothing.
A start with the same `--work` goes on where the last one stopped.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import parser, report
from tiny_corpus import HELD_OUT, SEEN, CorpusSize, build_corpus, methods
from train_tiny import Clock

from mover_ray.evaluation.metrics import roc_auc
from mover_ray.operations.result_sets import read_result_set
from mover_ray.pipelines.progress import Quiet
from mover_ray.pipelines.score import ScoreOptions, score
from mover_ray.pipelines.train import TrainOptions, train
from mover_ray.pipelines.train_prototypes import build_prototypes

TEMPORAL = ("temporal",)
#: Groups of fakes that are measured apart.
GROUPS = {"seen": SEEN, "held_out": HELD_OUT, "temporal": TEMPORAL}

Measures = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One detector and how it is trained."""

    preset: str
    """Of `train finetune`."""
    stage1: str | None = None
    """Preset of the autoencoder that it starts from."""
    prototypes: bool = False
    """Whether it starts from prototypes of facial components."""
    backbone: bool = False
    """Whether it looks through the public backbone of `--weights`."""
    moving: bool = False
    """Whether it looks at motion, and learns of temporal forgeries."""


#: A new detector is one line here.
DETECTORS = {
    "mover": Contender(preset="mover-tiny-cpu", stage1="deepfakemae-tiny-cpu"),
    "delocate": Contender(preset="delocate-tiny-cpu", stage1="deepfakemae-tiny-cpu"),
    "ln-clip": Contender(preset="ln-clip-tiny-cpu", backbone=True),
    "fcg": Contender(preset="fcg-tiny-cpu", prototypes=True, backbone=True, moving=True),
    "motion": Contender(preset="motion-tiny-cpu", moving=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How much of everything."""

    people: int | None
    """People of the corpus; None: all."""
    videos_each: int
    """Videos of one person at most."""
    epochs: int | None = None
    """Of every training; None: as the presets say."""

    @property
    def corpus(self) -> CorpusSize:
        """Clips of a second, eight frames of each."""
        return CorpusSize(
            people=self.people,
            videos_each=self.videos_each,
            clip_frames=24,
            crops=8,
            size_px=112,
            manipulations=SEEN + HELD_OUT + TEMPORAL,
            clips=True,
        )


BUDGETS = {
    "full": Budget(people=None, videos_each=3),
    "smoke": Budget(people=12, videos_each=1, epochs=1),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is."""

    work: Path
    weights: Path
    budget: Budget

    def bundle(self, name: str, contender: Contender) -> Path:
        """Trains a detector; gives its bundle."""
        options = self._options(contender, name, contender.preset)
        summary = train("finetune", options, Quiet())
        return Path(summary.model.removeprefix("file://"))

    def measure(self, name: str, bundle: Path) -> Measures:
        """Scores the videos of people whom no training has seen; gives the AUC of each group."""
        dest = self.work / f"{name}-results"
        score(
            ScoreOptions(
                source=str(self._tested()),
                dest=str(dest),
                model=str(bundle),
                engine="local",
                masks="none",
            ),
            Quiet(),
        )
        videos = read_result_set(str(dest)).videos
        videos = videos.select(videos.scored)
        measures = {"scored": float(len(videos))}
        for group, manipulations in GROUPS.items():
            among = np.isin(videos.method.astype(str), methods(manipulations))
            compared = videos.select(~videos.fake | among)
            measures[f"auc_{group}"] = roc_auc(compared.fake, compared.scores)
        return measures

    def _options(self, contender: Contender, dest: str, preset: str) -> TrainOptions:
        seen = SEEN + TEMPORAL if contender.moving else SEEN
        settings: dict[str, Any] = {"cache_dir": str(self.work / "cache")}
        settings["training"] = {"data": {"methods": list(methods(seen))}}
        if self.budget.epochs is not None:
            settings["training"]["recipe"] = {"epochs": self.budget.epochs}
        if contender.backbone:
            settings["model"] = {"backbone": {"weights": str(self.weights.absolute())}}
        return TrainOptions(
            preset=preset,
            dest=str(self.work / dest),
            corpus=(str(self.work / "crops"),),
            start=self._start(contender) if preset == contender.preset else None,
            settings=settings,
        )

    def _start(self, contender: Contender) -> str | None:
        """Makes what a training starts from, if it starts from anything."""
        if contender.stage1 is not None:
            options = self._options(contender, contender.stage1, contender.stage1)
            return train("pretrain", options, Quiet()).dest
        if not contender.prototypes:
            return None
        components = self.work / f"{contender.preset}-components"
        if not components.exists():
            plain = Contender(preset="", backbone=True)
            options = self._options(plain, components.name, contender.preset)
            build_prototypes(options, Quiet())
        return str(components)

    def _tested(self) -> Path:
        """Gives the manifest of the test split."""
        path = self.work / "test.parquet"
        if not path.exists():
            table = pq.read_table(self.work / "forged" / "manifest.parquet")
            pq.write_table(table.filter(pc.equal(table["split"], "test")), path)
        return path


def table(measures: Mapping[str, Measures], title: str) -> str:
    """Gives the figures, a line a detector."""
    columns = [f"auc_{group}" for group in GROUPS]
    shown = [f"{'AUC ' + group.replace('_', ' '):>14}" for group in GROUPS]
    lines = [title, " ".join([f"{'':12}", *shown, f"{'trained in':>12}"])]
    for name, of in measures.items():
        cells = [f"{of[column]:14.3f}" for column in columns]
        lines.append(" ".join([f"{name:12}", *cells, f"{of['train_s'] / 60:8.1f} min"]))
    return "\n".join(lines)


def main() -> int:
    """Trains, scores, measures, prints and writes the figures."""
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--weights", type=Path, required=True, help="DINOv2 ViT-S/14, a file")
    arguments.add_argument("--work", type=Path, required=True, help="folder for everything made")
    arguments.add_argument("--budget", choices=BUDGETS, default="full", help="how much (full)")
    arguments.add_argument("--only", choices=DETECTORS, nargs="+", default=list(DETECTORS))
    arguments.add_argument("--seed", type=int, default=0, help="of split and forgeries (0)")
    options = arguments.parse_args()
    budget, clock = BUDGETS[options.budget], Clock()
    work = options.work / f"all-{options.budget}-{options.seed}"
    clock("corpus", lambda: build_corpus(options.data, work, budget.corpus, options.seed))
    bench = Bench(work, options.weights, budget)
    measures: dict[str, Measures] = {}
    for name in options.only:
        bundle = clock(f"train {name}", partial(bench.bundle, name, DETECTORS[name]))
        measures[name] = clock(f"score {name}", partial(bench.measure, name, bundle))
        measures[name]["train_s"] = clock.seconds[f"train {name}"]
    report(
        {"budget": options.budget, "seconds": clock.seconds, "detectors": measures}, options.json
    )
    print(table(measures, f"train_all, budget {options.budget}, seed {options.seed}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
