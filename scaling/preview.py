"""What `--plan` prints: every stage, its state, its reason, its cost, and what sharing saves."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scaling.forecast import Forecast
from scaling.plan import Plan
from scaling.study import Study
from scaling.words import count, duration


def print_plan(plan: Plan, study: Study, forecast: Forecast, console: Console) -> None:
    """Print the plan as a table and a summary."""
    table = Table(box=None, pad_edge=False)
    for title in ("stage", "state", "reason", "trains on", "steps", "image passes", "runs", "about"):
        table.add_column(title, justify="right" if title in ("steps", "image passes", "runs", "about") else "left", no_wrap=title != "reason")
    states = study.states(plan)
    for name, stage in plan.stages.items():
        spec, state = stage.spec, states[name]
        reason = f"parent {spec.parent} is not done" if state.reason == "new" and spec.parent in forecast.stage_s else state.reason
        if state.state == "failed":
            reason = f"retry: {state.reason}"
        table.add_row(
            name,
            state.state,
            escape(reason),  # an error's words may hold brackets, which rich would read as markup
            f"{spec.data.train_images:,} {spec.data.source}, seed {spec.seed}",
            f"{spec.steps:,}",
            f"{spec.image_passes:,}",
            str(stage.runs),
            duration(forecast.stage_s[name]) if name in forecast.stage_s else "-",
        )
    console.print(table)
    counts = Counter(state.state for state in states.values())
    shared, alone = plan.image_passes(), plan.unshared_image_passes()
    left = sum(stage.spec.image_passes for name, stage in plan.stages.items() if name in forecast.stage_s)
    console.print(
        f"\n{plan.study}: {len(plan.stages)} stages ({', '.join(f'{n} {s}' for s, n in sorted(counts.items()))}) for {len(plan.runs)} runs\n"
        f"image passes: {count(left)} to go of {count(shared)}; sharing stages saves {count(alone - shared)}, "
        f"{1 - shared / alone:.0%} of the {count(alone)} that unshared runs would take\n"
        f"time: about {duration(forecast.wall_s)} on this machine ({forecast.measured_from})",
        highlight=False,
        soft_wrap=True,
    )
