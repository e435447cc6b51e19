"""How long a plan will take here, and what sharing saves."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.machine import Granted
from scaling.plan import Plan
from scaling.study import Study
from trials.ledger import read_json
from trials.spec import StageSpec
from trials.throughput import measure_images_per_s

STAGE_OVERHEAD_S = 1.0  # scheduling, loading, evaluation and writing of a small stage, about


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Seconds of each stage that is to run, and of all together."""

    stage_s: dict[str, float]
    wall_s: float
    measured_from: str


def forecast(plan: Plan, study: Study, granted: dict[str, Granted]) -> Forecast:
    """Forecast the stages that are not done.

    The rate of a kind of stage is that of finished stages of this study, else measured now for about a second on random pixels. The
    total assumes that machines stay full, and no less than the longest chain of parents takes.
    """
    rates: dict[tuple[str, ...], float] = {}
    probed = 0
    stage_s: dict[str, float] = {}
    finish: dict[str, float] = {}
    busy_s = 0.0
    for name, stage in plan.stages.items():
        if study.is_done(name):
            finish[name] = 0.0
            continue
        key = _key(stage.spec)
        if key not in rates:
            known = _known_rate(plan, study, key)
            probed += known is None
            grant = granted[stage.spec.kind]
            rates[key] = known or measure_images_per_s(stage.spec, cpus=grant.cpus, gpus=grant.gpus)
        stage_s[name] = stage.spec.image_passes / rates[key] + STAGE_OVERHEAD_S
        busy_s += stage_s[name] / granted[stage.spec.kind].side_by_side
        finish[name] = stage_s[name] + (finish[stage.spec.parent] if stage.spec.parent else 0.0)
    source = "rates measured just now on random pixels" if probed else "rates of this study's finished stages"
    return Forecast(stage_s=stage_s, wall_s=max([busy_s, *finish.values()]) if stage_s else 0.0, measured_from=source)


def _key(spec: StageSpec) -> tuple[str, ...]:
    return (spec.objective, spec.encoder, str(spec.recipe.batch_images), spec.recipe.precision)


def _known_rate(plan: Plan, study: Study, key: tuple[str, ...]) -> float | None:
    rates = []
    for name, stage in plan.stages.items():
        if _key(stage.spec) == key and study.is_done(name):
            rates.append((read_json(study.stage_folder(name) / "provenance.json") or {}).get("images_per_s"))
    known = sorted(rate for rate in rates if rate)
    return known[len(known) // 2] if known else None
