"""Draws the readings of ``bench.soak``."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

PANELS = (
    ("anon", "memory of its own, MB"),
    ("file", "pages of mapped files, MB"),
    ("handles", "open handles"),
    ("threads", "threads"),
)


def plot(files: dict[str, Path], out: Path) -> None:
    """Draw memory, handles and threads of some runs over time, by the runs' names, into a picture."""
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5), dpi=80, sharex=True)
    for name, path in files.items():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        minutes = [float(row["minute"]) for row in rows]
        for axis, (column, title) in zip(axes.flat, PANELS, strict=True):
            axis.plot(minutes, [_value(row, column) for row in rows], label=name, linewidth=1.2)
            axis.set_title(title, fontsize=9)
            axis.grid(alpha=0.3)
    for axis in axes.flat:
        axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
    for axis in axes[1]:
        axis.set_xlabel("minutes", fontsize=9)
    axes[0][0].legend(fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(out)
    pyplot.close(figure)


def _value(row: dict[str, str], column: str) -> float:
    """A reading; older files hold no column of what is of files."""
    if column == "file" and column not in row:
        return float(row["rss"]) - float(row["anon"])
    return float(row[column])
