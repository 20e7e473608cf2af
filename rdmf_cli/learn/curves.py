"""What a training looked like: curves as a picture and as TensorBoard events, where their libraries are installed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from rdmf_cli.errors import OutputError

History = Sequence[Mapping[str, float]]  # one row per round: step, loss, its parts as loss_*, and validation figures

_PANELS = (
    ("loss", ("loss",)),
    ("moments", ("map", "map_short", "r1_50", "r1_70")),
    ("saliency, relevance", ("hit_at_1", "auroc")),
)


@contextmanager
def own_style() -> Iterator[Any]:
    """matplotlib.figure as it is, not as the user's settings make it; None where it is missing."""
    if find_spec("matplotlib") is None:
        yield None
        return
    import matplotlib
    from matplotlib import figure

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield figure


def draw_curves(histories: Mapping[int, History]) -> bytes | None:
    """Curves of every seed as PNG; None where matplotlib is missing."""
    with own_style() as figures:
        if figures is None:
            return None
        drawn = figures.Figure(figsize=(11, 3.4), layout="constrained")
        for axes, (title, names) in zip(drawn.subplots(1, len(_PANELS)), _PANELS, strict=True):
            for colour, name in enumerate(names):
                for number, history in enumerate(histories.values()):
                    points = [(row["step"], row[name]) for row in history if row.get(name) is not None]
                    if points:
                        label = None if number else name
                        axes.plot(*zip(*points, strict=True), color=f"C{colour}", label=label, marker=".", alpha=0.8)
            axes.set(title=title, xlabel="step")
            if axes.has_data():
                axes.legend()
        file = io.BytesIO()
        drawn.savefig(file, format="png", dpi=120)
        return file.getvalue()


class Events:
    """TensorBoard events of one training in a folder of their own; without a folder nothing is written.

    A training that goes on writes its earlier rounds again: the folder of a seed always holds the whole history.
    Raises OutputError where TensorBoard is missing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._writer: Any = None
        if folder is None:
            return
        if find_spec("tensorboard") is None:
            raise OutputError("--tensorboard needs tensorboard", hint="pip install 'rdmf-cli[train]'")
        from torch.utils.tensorboard import SummaryWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            raise OutputError(f"{folder}: can't be written: {error.strerror or error}") from error

    def __enter__(self) -> Events:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, row: Mapping[str, float]) -> None:
        """One row of the history."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()
