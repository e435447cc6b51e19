"""Print a plan: every stage with its state, the reason for it, its cost, and what sharing saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scaling.formatting import count, duration, size
from scaling.plan.budget import Budget
from scaling.plan.folding import folded_by_seed, seeds_of
from scaling.plan.forecast import NOTHING, Forecast, Range
from scaling.plan.plan import Plan
from scaling.plan.stage_names import facts
from scaling.study.folder import Study

FEW_SEEDS = 5
"""As `analysis.findings` advises: t on 4 degrees of freedom is 2.8, on 2 it is 4.3."""
_RIGHT = ("steps", "image passes", "runs", "FLOPs", "about")


def print_plan(
    plan: Plan, study: Study, forecast: Forecast, budget: Budget, console: Console, *, where: str = "this machine", notes: Sequence[str] = ()
) -> None:
    """Print the plan as a table, stages that differ in their seed alone as one row, and a summary.

    Args:
        where: the machine that is planned for.
        notes: lines to stand after the summary.
    """
    table = Table(box=None, pad_edge=False)
    told = facts(plan)
    others = {name: ", ".join(_other_facts(plan, name, told[name])) for name in plan.stages}
    differing = ["setting"] if any(others.values()) else []
    for title in ("stage", "state", "reason", "trains on", *differing, *_RIGHT):
        table.add_column(title, justify="right" if title in _RIGHT else "left", no_wrap=title != "reason")
    states = study.states(plan)

    def reason_of(name: str, *, alone: bool) -> str:
        spec, state = plan.stages[name].spec, states[name]
        waits = next((need for need in spec.needs if need in forecast.stage_s), None)
        if state.state == "failed":
            return f"retry: {state.reason}"
        if state.reason == "new" and waits is not None:
            return f"{'trunk' if waits == spec.trunk else 'parent'} {f'{waits} ' if alone else ''}is not done"
        return state.reason

    for names in folded_by_seed(plan, lambda name: (states[name].state, reason_of(name, alone=False))):
        first, alone = names[0], len(names) == 1
        stage, times = plan.stages[first], [forecast.stage_range_s[name] for name in names if name in forecast.stage_s]
        table.add_row(
            first if alone else f"{first} and {len(names) - 1} more",
            states[first].state,
            escape(reason_of(first, alone=alone)),  # an error's words may hold brackets, which rich would read as markup
            f"{stage.spec.data.train_images:,} {stage.spec.data.source}, {seeds_of(plan, names)}",
            *([escape(others[first])] if differing else []),
            f"{stage.spec.steps:,}",
            f"{sum(plan.stages[name].own_image_passes for name in names):,}",
            str(sum(plan.stages[name].runs for name in names)),
            count(sum(budget.stage_flops[name] for name in names)),
            _with_range(sum(times, NOTHING)) if times else "-",
        )
    console.print(table)
    for line in [*summary(plan, forecast, budget, Counter(state.state for state in states.values()), where), *notes]:
        console.print(line, highlight=False, soft_wrap=True)


def _other_facts(plan: Plan, name: str, told: Sequence[str]) -> list[str]:
    """What tells a stage from others of its kind and has no column of its own, such as its encoder."""
    spec = plan.stages[name].spec
    shown = {f"{spec.data.train_images:,} images", spec.data.source, f"{count(spec.steps)} steps", f"seed {spec.seed}"}
    return [fact for fact in told if fact not in shown]


def summary(plan: Plan, forecast: Forecast, budget: Budget, states: Counter[str], where: str = "this machine") -> list[str]:
    """The totals of a plan, line by line."""
    shared, alone = plan.image_passes(), plan.unshared_image_passes()
    left = sum(stage.own_image_passes for name, stage in plan.stages.items() if name in forecast.stage_s)
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    lines = [
        f"\n{plan.study}: {len(plan.stages)} stages ({counts}) for {len(plan.runs)} runs",
        f"image passes: {count(left)} to go of {count(shared)}; sharing stages saves {count(alone - shared)}, "
        f"{1 - shared / alone:.0%} of the {count(alone)} that unshared runs would take",
    ]
    seeds = len({stage.spec.seed for stage in plan.stages.values() if stage.spec.kind == "finetune"})
    if seeds < FEW_SEEDS:
        noun = "seed" if seeds == 1 else "seeds"
        lines.append(f"{seeds} {noun}: intervals will be wide, and claims about every cell mostly out of reach; {FEW_SEEDS} seeds are advised")
    pretrain_alone, pretrain_shared = plan.pretrain_image_passes()
    if pretrain_shared < pretrain_alone:
        lines.append(
            f"trunks: lengths that share one save {1 - pretrain_shared / pretrain_alone:.1%} of the {count(pretrain_alone)} image passes "
            "of pre-training"
        )
    flops_left = sum(budget.stage_flops[name] for name in forecast.stage_s)
    lines += [
        f"arithmetic: {count(flops_left)} FLOPs to go of {count(sum(budget.stage_flops.values()))}",
        f"time: about {duration(forecast.wall_s)} on {where}, {_span(forecast.wall_range_s, duration)} ({forecast.measured_from})"
        if forecast.stage_s
        else "time: nothing is left to run",
        f"held: {_hours(forecast.gpu_hours, 'GPU-hours')}{_hours(forecast.cpu_hours, 'core-hours')}",
        f"disk: {size(budget.kept_bytes)} kept of {size(budget.peak_bytes)} at most, by keep: {budget.keep}"
        + (f"; {size(budget.free_bytes)} are free" if budget.free_bytes is not None else ""),
    ]
    return lines


def _with_range(each: Range) -> str:
    low, middle, high = duration(each.low), duration(each.middle), duration(each.high)
    return middle if low == high else f"{middle} ({low} to {high})"


def _span(each: Range, words: Callable[[float], str]) -> str:
    low, high = words(each.low), words(each.high)
    return f"{low} to {high}" if low != high else f"about {low}"


def _hours(each: Range, unit: str) -> str:
    if each.middle == 0:
        return "" if unit == "GPU-hours" else f"0 {unit}"
    text = f"{each.middle:.3g} {unit} ({each.low:.3g} to {each.high:.3g})"
    return text + ", " if unit == "GPU-hours" else text
