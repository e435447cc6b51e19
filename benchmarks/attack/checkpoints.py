"""Hostile stage folders: checkpoints, weights and results changed, swapped and forged, then resumed,
branched from and started from.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import torch

from benchmarks.attack.case import Attack
from benchmarks.attack.mutation import changed_bytes, damaged_file
from trials.stage_files import WEIGHTS, load_parent_weights, read_result, save_weights, write_json
from trials.training.checkpoints import TrainingState, encode_state, load_checkpoint, load_trunk_state, save_checkpoint, save_trunk_state

STEPS, STEP = 9, 4
NAMES = ("pretrain-000000000001", "pretrain-000000000002")


def state_of(seed: int, step: int) -> TrainingState:
    """A training state of a small model after so many steps."""
    numbers = torch.Generator().manual_seed(seed)
    weights = {"layer.weight": torch.randn(6, 4, generator=numbers), "layer.bias": torch.randn(6, generator=numbers)}
    moments = {place: {"exp_avg": torch.randn(3, generator=numbers), "step": torch.tensor(float(step))} for place in (0, 1)}
    return TrainingState(step=step, model=weights, optimiser=moments, losses=torch.rand(step, generator=numbers), line_step=step, train_s=1.0)


@lru_cache(maxsize=1)
def whole_stages() -> Path:
    """Two finished stages that also have checkpoints, as no launch leaves them together."""
    stages = Path(mkdtemp(prefix="attack-stages-"))
    for seed, name in enumerate(NAMES):
        folder = stages / name
        folder.mkdir()
        for step in (STEP - 1, STEP):
            save_checkpoint(folder, state_of(seed, step))
        sums = {"weights_sha256": save_weights(folder, state_of(seed, STEP).model), "state_sha256": save_trunk_state(folder, state_of(seed, STEPS))}
        write_json(folder / "result.json", {"id": name, "metrics": {}, "steps": STEPS} | sums)
    return stages


def _attempt(rng: random.Random, scratch: Path) -> str:
    shutil.copytree(whole_stages(), scratch / "stages")
    (scratch / "secret").write_bytes(b"secret" * 1000)
    own, other = (scratch / "stages" / name for name in NAMES)
    action = rng.choice(["damage", "damage", "swap", "forge", "rename"])
    files = [path for path in own.rglob("*") if path.is_file()]
    path = rng.choice(files)
    if action == "damage":
        done = damaged_file(rng, path, elsewhere=scratch / "secret")
    elif action == "swap":
        replaced = rng.choice([one for one in other.rglob("*") if one.is_file()])
        shutil.copy(replaced, path)
        done = f"{replaced.name} of another stage as {path.name}"
    elif action == "rename":
        step = rng.choice([-1, 0, STEPS + 1, 10**15])
        path = rng.choice(list(own.glob("checkpoint/state-*")))
        path.rename(path.with_name(f"state-{step}-{path.name.rpartition('-')[2]}"))
        done = f"step {step} in a name"
    else:
        done = _forged(rng, own)
    try:
        _read(own, own=action != "forge")
    except Exception as error:
        error.add_note(done)
        raise
    return done


def _forged(rng: random.Random, folder: Path) -> str:
    """A checkpoint or weights that are no such thing, with the right checksum."""
    data = changed_bytes(rng, encode_state(state_of(0, STEP)))
    if rng.random() < 0.5:
        digest = hashlib.sha256(folder.name.encode() + b"\n" + data).hexdigest()[:16]
        (folder / "checkpoint" / f"state-{STEP + 1}-{digest}.safetensors").write_bytes(data)
        return "a forged checkpoint"
    (folder / WEIGHTS).write_bytes(data)
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"weights_sha256": hashlib.sha256(data).hexdigest()}))
    return "forged weights"


def _read(folder: Path, *, own: bool) -> None:
    """Resume, branch and start from the stage.

    Args:
        own: whether whatever is taken must be the stage's own.
    """
    state = load_checkpoint(folder, lambda line: None, steps=STEPS)
    expected = state_of(0, STEP).model
    if state is not None:
        assert 0 <= state.step <= STEPS
        assert len(state.losses) == state.step
        assert not own or _equal(state.model, expected), "another stage's checkpoint was taken"
    read_result(folder)
    trunk, weights = load_trunk_state(folder), load_parent_weights(folder)
    assert not own or _equal(trunk.model, expected), "another stage's state was taken"
    assert not own or _equal(weights, expected), "another stage's weights were taken"


def _equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], tensor) for name, tensor in expected.items())


ATTACKS = (Attack(name="checkpoints and weights", attempt=_attempt, limit_s=2.0),)
