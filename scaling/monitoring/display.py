"""What a launch shows while it runs: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scaling.execution.interruption import STOPPING
from scaling.formatting import count, duration
from scaling.monitoring.progress_counts import STATES, Progress, ProgressCounts, RunningStage
from scaling.monitoring.watcher import NotPickled
from scaling.plan.forecast import Forecast, Range
from scaling.plan.plan import Plan
from scaling.plan.stage_names import titles
from scaling.study.folder import Study
from trials.objectives.objective import live_scores, loss_names

HEARTBEAT_S = 60.0  # without a terminal: between two lines that say what runs
_NAMED = 4  # running stages in such a line
_SILENT_S = 120.0  # a stage that has reported nothing for this long is marked
# widths of the terminal, in characters, from which a column of the table is shown
_RATE_COLUMNS, _LOSS_COLUMNS, _TITLE_COLUMNS = 90, 60, 70
_STYLES = {"done": "green", "running": "cyan", "waiting": "", "retrying": "yellow", "failed": "red", "blocked": "red"}


class Display(NotPickled):
    """A watcher that shows how many stages are done, the running ones, and the time left.

    Args:
        forecast: of the stages that this launch is to run.
        stopping: whether the launch was asked to stop.
    """

    def __init__(self, plan: Plan, study: Study, forecast: Forecast, console: Console, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self._plan, self._study, self._console, self._stopping = plan, study, console, stopping
        self.counts = ProgressCounts(plan, forecast)
        self._titles = titles(plan)
        self._to_run = len(forecast.stage_s)
        self._live = Live(get_renderable=self.picture, console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        self._over = threading.Event()
        self._heartbeats = threading.Thread(target=self._keep_alive, name="heartbeat", daemon=True)

    def __enter__(self) -> Display:
        if self._live:
            self._live.start()
        else:
            self._heartbeats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._live:
            self._live.stop()

    def stage_progressed(self, name: str, values: dict[str, Any]) -> None:
        """A stage runs: show it from now on."""
        self.counts.progressed(name, values)

    def stage_ended(self, name: str, values: dict[str, Any], reason: str | None) -> None:
        """A stage is done or finally failed: print a line that stays."""
        ran_s = self.counts.ended(name, reason is not None)
        now = self.counts.snapshot()
        ended = now.number("done") + now.number("failed") - (len(self._plan.stages) - self._to_run)
        took = f"in {duration(ran_s)}  " if ran_s is not None else ""
        outcome = f"done   {took}{_scores(values)}" if reason is None else f"FAILED {reason} (log: {self._study.stage_folder(name) / 'log.txt'})"
        self._print(f"[{ended:>{len(str(self._to_run))}}/{self._to_run}] {self._titles[name]}  {outcome}")

    def stage_retried(self, name: str, reason: str, wait_s: float) -> None:
        """An attempt failed and another follows: print a line with the reason."""
        self.counts.retried(name)
        self._print(f"retry in {duration(wait_s)}: {self._titles[name]}  {reason}")

    def heartbeat(self) -> None:
        """Print one line about what runs, for a log that would be silent during a long stage."""
        now = self.counts.snapshot()
        stages = [f"{self._titles[one.name]} {one.share:.0%}{_comma(_loss(one))}" for one in now.running[:_NAMED]]
        more = [f"{len(now.running) - _NAMED} more"] if len(now.running) > _NAMED else []
        self._print(f"{self._whole(now)}; running: {'; '.join(stages + more) or 'nothing yet'}")

    def picture(self) -> Group:
        """The live display, as large as the terminal allows."""
        now = self.counts.snapshot()
        width, height = self._console.size
        parts: list[Any] = [self._bar(now, width), self._counts(now)]
        if self._stopping():
            parts.append(Text(STOPPING, style="bold yellow"))
        rows = max(1, height - len(parts) - 3)  # less the table's head, the line that counts the rest, the cursor's line
        if now.running:
            parts.append(self._table(now.running[:rows], width))
        if len(now.running) > rows:
            parts.append(Text(f"... and {len(now.running) - rows:,} more are running"))
        return Group(*parts)

    def _bar(self, now: Progress, width: int) -> Table:
        line = Table.grid(padding=(0, 1))
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_column(width=max(4, min(30, width // 5)))
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(Text(self._plan.study), ProgressBar(total=1.0, completed=now.share), Text(f"{now.share:.0%}, {_left(now.left_s)}"))
        return line

    def _counts(self, now: Progress) -> Text:
        parts = [Text(f"{number:,} {state}", style=_STYLES[state]) for state in STATES if (number := now.number(state))]
        if sum(now.retries.values()):
            parts.append(Text(f"{sum(now.retries.values()):,} tried again", style="yellow"))
        if now.images_per_s:
            parts.append(Text(f"{count(round(now.images_per_s))} images/s"))
        text = Text(", ").join([*parts, Text(f"{duration(now.elapsed_s)} so far")])
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _table(self, running: list[RunningStage], width: int) -> Table:
        columns: list[tuple[str, bool, Callable[[RunningStage], str]]] = [("running", True, lambda one: self._titles[one.name])]
        columns.append(("done", True, lambda one: f"{one.share:.0%}"))
        columns.append(
            ("images/s", width >= _RATE_COLUMNS, lambda one: f"{one.values['images_per_s']:,.0f}" if "images_per_s" in one.values else "-")
        )
        columns.append(("loss", width >= _LOSS_COLUMNS, lambda one: _loss(one) or "-"))
        columns.append(("left", True, lambda one: self._left(one)))
        shown = [(head, cell) for head, wanted, cell in columns if wanted]
        table = Table(box=None, pad_edge=False, header_style="dim", expand=width < _TITLE_COLUMNS)
        for head, _ in shown:
            first = head == "running"
            left = head in ("running", "loss")
            table.add_column(
                head, no_wrap=True, overflow="ellipsis", justify="left" if left else "right", ratio=1 if first else None, min_width=len(head)
            )
        for one in running:
            table.add_row(*(Text(cell(one)) for _, cell in shown))
        return table

    def _left(self, one: RunningStage) -> str:
        silent_s = self.counts.clock() - one.reported_s
        return f"silent for {duration(silent_s)}" if silent_s > _SILENT_S else duration(self.counts.left_s(one))

    def _whole(self, now: Progress) -> str:
        states = ", ".join(f"{number:,} {state}" for state in STATES if (number := now.number(state)))
        return f"{self._plan.study}: {states}; {_left(now.left_s)}"

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _keep_alive(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            self.heartbeat()


def _left(left_s: Range) -> str:
    low, middle, high = duration(left_s.low), duration(left_s.middle), duration(left_s.high)
    return f"about {middle} left" + (f" ({low} to {high})" if low != high else "")


def _loss(one: RunningStage) -> str:
    return next((f"{name} {one.values[name]:.4f}" for name in (*live_scores(), *loss_names()) if name in one.values), "")


def _scores(values: dict[str, Any]) -> str:
    return ", ".join(f"{score} {values[score]:.4f}" for score in live_scores() if score in values)


def _comma(text: str) -> str:
    return f", {text}" if text else ""
