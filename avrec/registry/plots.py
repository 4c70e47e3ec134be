"""The pictures of a run, drawn from the CSV files of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """One picture: where its numbers are, its axes, its form (line, bar, calibration, scatter)."""

    path: str
    x: str
    y: str
    title: str
    kind: str


PLOTS = (
    Plot("artifacts/plots/recall_by_k.csv", "k", "recall", "Recall by length of the list", "line"),
    Plot("artifacts/plots/loss.csv", "epoch", "value", "Training, epoch by epoch", "line"),
    Plot("artifacts/plots/per_category.csv", "category", "ndcg", "NDCG by category", "bar"),
    Plot(
        "artifacts/plots/calibration.csv", "predicted", "observed", "Calibration of 'will they like it'", "calibration"
    ),
    Plot("artifacts/plots/diversity.csv", "ild_ratio", "ndcg_ratio", "What diversity costs", "line"),
    Plot("artifacts/evaluation/projection.csv", "x", "y", "Item space, projected", "scatter"),
)


def draw_all(root: Path, synthetic: bool, out: Path) -> list[Path]:
    """Draws every plot whose numbers are there.

    Args:
        root: Checkout with `artifacts/`.
        synthetic: Said in every title where true.
        out: Folder for the PNG files, made when missing.
    """
    import pandas as pd

    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for plot in PLOTS:
        source = root / plot.path
        frame = pd.read_csv(source) if source.is_file() else None
        if frame is None or frame.empty or not {plot.x, plot.y} <= set(frame.columns):
            continue
        figure = _draw(plot, frame, synthetic)
        drawn.append(out / f"{source.stem}.png")
        figure.savefig(drawn[-1], dpi=110, bbox_inches="tight", metadata={"Software": None})
    return drawn


def _draw(plot: Plot, frame: pd.DataFrame, synthetic: bool) -> Figure:
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    {"line": _line, "bar": _bar, "calibration": _calibration, "scatter": _scatter}[plot.kind](plot, frame, axes)
    axes.set_title(f"{plot.title}{' (synthetic data)' if synthetic else ''}")
    if plot.kind != "scatter":
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _series(plot: Plot, frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One part a combination of the text columns (matcher, metric, slice), named by them."""
    names = [c for c in frame.columns if c not in (plot.x, plot.y) and frame[c].dtype.kind not in "if"]
    if not names:
        return [("", frame)]
    return [(" ".join(str(part) for part in key), group) for key, group in frame.groupby(names, sort=False)]


def _line(plot: Plot, frame: pd.DataFrame, axes: Axes) -> None:
    for name, group in _series(plot, frame):
        dashed = "shuffled" in name
        axes.plot(group[plot.x], group[plot.y], marker="o", markersize=3, label=name, linestyle="--" if dashed else "-")
    axes.grid(alpha=0.3)


def _bar(plot: Plot, frame: pd.DataFrame, axes: Axes) -> None:
    series = _series(plot, frame)
    categories: list[str] = list(dict.fromkeys(str(name) for name in frame[plot.x]))
    width = 0.8 / len(series)
    for number, (name, group) in enumerate(series):
        values = {str(x): float(y) for x, y in zip(group[plot.x], group[plot.y], strict=True)}
        positions = [i + (number - (len(series) - 1) / 2) * width for i in range(len(categories))]
        axes.bar(positions, [values.get(c, 0.0) for c in categories], width, label=name)
    axes.set_xticks(range(len(categories)), categories, rotation=60, ha="right", fontsize=8)


def _calibration(plot: Plot, frame: pd.DataFrame, axes: Axes) -> None:
    _line(plot, frame, axes)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":", label="perfect")


def _scatter(plot: Plot, frame: pd.DataFrame, axes: Axes) -> None:
    from matplotlib import colormaps

    categories = frame["category"].fillna("unknown").astype(str) if "category" in frame else frame[plot.x] * 0
    colours = colormaps["tab20"]
    for number, (name, group) in enumerate(frame.groupby(categories)):
        axes.scatter(group[plot.x], group[plot.y], s=12, alpha=0.8, color=colours(number % 20), label=str(name)[:24])
    axes.set_xticks([])
    axes.set_yticks([])
