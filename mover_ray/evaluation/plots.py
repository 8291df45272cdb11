"""Curves of an evaluation as PNG files, drawn without a display."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TABLEAU_COLORS
from matplotlib.figure import Figure

from mover_ray.evaluation.metrics import reliability, roc_curve
from mover_ray.evaluation.protocols import parse_degradation
from mover_ray.evaluation.report import Report
from mover_ray.evaluation.videos import Videos

#: Scored videos by the names of results and data set.
Plotted = Mapping[tuple[str, str], Videos]

_DPI = 150
_SIDE_IN = 4.6
_PANEL_IN = (3.2, 2.2)
_COLUMNS = 3
_REAL, _FAKE = "#2b6cb0", "#c53030"
_BINS = np.linspace(0, 1, 31)
_CURVES_INSIDE = 8
#: Ten colours, then the same ten dashed and dotted: 30 curves that can be told apart.
_STYLES = cycler(linestyle=["-", "--", ":"]) * cycler(color=list(TABLEAU_COLORS.values()))


def draw(plotted: Plotted, report: Report, folder: Path) -> list[Path]:
    """Draws what there is to draw; gives the files.

    Args:
        plotted: Scored videos.
        report: Of the same evaluation.
        folder: Where the files go; it exists.
    """
    usable = {
        key: videos for key, videos in plotted.items() if 0 < videos.fake.sum() < len(videos.fake)
    }
    figures = {}
    if usable:
        figures["roc.png"] = draw_roc(usable)
        figures["reliability.png"] = draw_reliability(usable)
        figures["scores.png"] = draw_scores(usable)
    if any(parse_degradation(line.run) for line in report.lines):
        figures["robustness.png"] = draw_robustness(report)
    for name, figure in figures.items():
        FigureCanvasAgg(figure)  # takes the figure's place of a display
        figure.savefig(folder / name)
    return [folder / name for name in figures]


def draw_roc(plotted: Plotted) -> Figure:
    """Draws the fakes found against the reals called fake, a curve for each data set."""
    figure, axes = _square("Real videos called fake", "Fake videos found")
    axes.plot([0, 1], [0, 1], color="0.75", linestyle="--", linewidth=1)
    for key, videos in plotted.items():
        curve = roc_curve(videos.fake, videos.scores)
        axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=_title(key, plotted))
    _legend(axes)
    return figure


def draw_reliability(plotted: Plotted) -> Figure:
    """Draws the share of fakes against the probability that was given."""
    figure, axes = _square("Score", "Share of fake videos at that score")
    axes.plot([0, 1], [0, 1], color="0.75", linestyle="--", linewidth=1)
    for key, videos in plotted.items():
        table = reliability(videos.fake, videos.scores)
        axes.plot(table.predicted, table.observed, linewidth=1, label=_title(key, plotted))
        # Area by the number of videos: a point of three videos must not look like one of 300.
        sizes = 4 + 120 * table.share
        axes.scatter(table.predicted, table.observed, sizes, color=axes.lines[-1].get_color())
    _legend(axes)
    return figure


def draw_scores(plotted: Plotted) -> Figure:
    """Draws how the scores of real and of fake videos lie, a panel for each data set."""
    columns = min(_COLUMNS, len(plotted))
    rows = -(-len(plotted) // columns)
    size = (max(_PANEL_IN[0] * columns, _SIDE_IN), _PANEL_IN[1] * rows + 0.6)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes, (key, videos) in zip(panels, plotted.items(), strict=False):
        kinds = (("real", ~videos.fake, _REAL), ("fake", videos.fake, _FAKE))
        for label, chosen, colour in kinds:
            scores = videos.scores[chosen]
            # Each kind sums to 1, or the rarer one could not be seen.
            weights = np.full(len(scores), 1 / len(scores))
            axes.hist(scores, _BINS, weights=weights, color=colour, alpha=0.55, label=label)
        axes.set_title(_title(key, plotted), fontsize=9)
        axes.set_xlim(0, 1)
        axes.tick_params(labelsize=8)
    for axes in panels[len(plotted) :]:
        axes.set_visible(False)
    figure.supxlabel("Score", fontsize=9)
    figure.supylabel("Share of the videos of a kind", fontsize=9)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def draw_robustness(report: Report) -> Figure:
    """Draws the AUC against the level of damage, a curve for each kind and data set."""
    figure, axes = _square("Level of damage", "AUC")
    for (kind, dataset), points in sorted(_curves(report).items()):
        levels, values, lows, highs = (np.array(one) for one in zip(*sorted(points), strict=True))
        axes.errorbar(
            levels,
            values,
            yerr=[values - lows, highs - values],
            label=f"{kind}, {dataset}",
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.2,
        )
    axes.axhline(0.5, color="0.75", linestyle="--", linewidth=1)
    axes.set_xlim(-0.2, 5.2)
    axes.set_ylim(0.3, 1.02)
    _legend(axes)
    return figure


def _curves(report: Report) -> dict[tuple[str, str], list[tuple[float, ...]]]:
    """Gives level, AUC and interval by kind of damage and data set."""
    curves: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for line in report.lines:
        damage, auc = parse_degradation(line.run), line.figures.metrics.get("auc")
        if damage is None or auc is None or line.part or line.unit != "video":
            continue
        low = auc.value if auc.low is None else auc.low
        high = auc.value if auc.high is None else auc.high
        # Percentiles of few people may leave the figure itself outside.
        ends = (min(low, auc.value), max(high, auc.value))
        curves.setdefault((damage[0], line.dataset), []).append((damage[1], auc.value, *ends))
    return curves


def _square(across: str, upwards: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIDE_IN, _SIDE_IN), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(upwards, fontsize=9)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_prop_cycle(_STYLES)
    return figure, axes


def _legend(axes: Axes) -> None:
    """Names the curves: inside where there is room, else in columns under the axes."""
    if len(axes.get_legend_handles_labels()[0]) <= _CURVES_INSIDE:
        axes.legend(fontsize=7, frameon=False, loc="best")
        return
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def _title(key: tuple[str, str], plotted: Plotted) -> str:
    """Names the data set, and the results where there are several."""
    several = len({run for run, _ in plotted}) > 1
    dataset = key[1] or "no data set"
    return f"{key[0]}: {dataset}" if several else dataset
