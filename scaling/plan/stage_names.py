"""Short names for the stages of a plan, made of the settings in which they differ."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from scaling.formatting import count
from scaling.plan.plan import Plan
from trials.spec import StageSpec

_HASH_DIGITS = 6  # of the id, so that a name can be looked up among the folders


def _settings(spec: StageSpec) -> dict[str, Any]:
    first = {"images": spec.data.train_images, "encoder": spec.encoder, "objective": spec.objective, "source": spec.data.source, "steps": spec.steps}
    return first | {key: str(value) for key, value in vars(spec.recipe).items()} | {"sampling": spec.data.sampling, "seed": spec.seed}


def _words(key: str, value: Any) -> str:
    if key in ("images", "steps"):
        return f"{value:,} images" if key == "images" else f"{count(value)} steps"
    return str(value) if key in ("encoder", "objective", "source") else f"{key.replace('_', ' ')} {value}"


def facts(plan: Plan) -> dict[str, list[str]]:
    """The settings in which each stage differs from others of its kind. A setting that follows from
    earlier ones is left out.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, stage in plan.stages.items():
        kinds[stage.spec.kind].append(name)
    found: dict[str, list[str]] = {}
    for names in kinds.values():
        settings = {name: _settings(plan.stages[name].spec) for name in names}
        telling: list[str] = []
        kept = 1
        for key in next(iter(settings.values())):
            distinct = len({tuple(one[k] for k in [*telling, key]) for one in settings.values()})
            if distinct > kept:
                telling, kept = [*telling, key], distinct
        found |= {name: [_words(key, one[key]) for key in telling] for name, one in settings.items()}
    return found


def titles(plan: Plan) -> dict[str, str]:
    """Names for people: `finetune 80 images, seed 1 (3fa9c1)`."""
    return {name: f"{plan.stages[name].spec.kind} {', '.join(named)} ({tail(name)})".replace("  ", " ") for name, named in facts(plan).items()}


def run_names(plan: Plan) -> dict[str, str]:
    """Unique names for trackers, usable as paths: `finetune/80 images, seed 1, after pretrain 2,000
    images (3fa9c1)`.

    The settings of its parents come last.
    """
    named = facts(plan)
    names: dict[str, str] = {}
    for name, stage in plan.stages.items():
        words = [", ".join(named[name])] if named[name] else []
        above = stage.spec.parent
        while above is not None:
            parent = plan.stages[above].spec
            own = [fact for fact in named[above] if fact not in named[name]]
            words.append(f"after {' '.join([parent.kind, ', '.join(own)]).strip()}")
            above = parent.parent
        path = f"{', '.join(words)} ({tail(name)})".strip().replace("/", "-")
        names[name] = f"{stage.spec.kind}/{path}"
    return names


def tail(stage_id: str) -> str:
    """The first digits of a stage's hash."""
    return stage_id.rpartition("-")[2][:_HASH_DIGITS]
