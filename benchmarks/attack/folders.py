"""Hostile study folders into the report and into `scaling.status`."""

from __future__ import annotations

import base64
import json
import random
import shutil
from functools import lru_cache, partial
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from benchmarks.attack.case import Attack, call
from benchmarks.attack.mutation import ODD, damaged_file
from benchmarks.report import Shape, write_study
from reports.build import main as build
from scaling.status import main as status

SHAPE = Shape(name="small", encoders=1, pretrain_images=(0, 1000, 8000), lengths=("20 epochs",), labels=(50, 400), seeds=2)
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")


@lru_cache(maxsize=1)
def whole_study() -> Path:
    """A finished study of 16 runs with every kind of file that a report reads."""
    folder = Path(mkdtemp(prefix="attack-study-")) / "study"
    write_study(folder, SHAPE)
    plan = json.loads((folder / "plan.json").read_text())
    renamed = _with_ids(folder, plan)
    (folder / "plan.json").write_text(json.dumps(renamed))
    (folder / "grid.yaml").write_text("study: small\n")
    (folder / "columns.json").write_text(json.dumps({"runs": {"own": {"description": "own", "role": "score", "better": "higher"}}, "stages": {}}))
    for stage in renamed["stages"]:
        place = folder / "stages" / stage["id"]
        (place / "result.json").write_text(json.dumps({"id": stage["id"], "metrics": {}, "steps": 5}))
        (place / "provenance.json").write_text(json.dumps({"finished": "2026-01-01T00:00:00+00:00", "device": "cpu", "versions": {"torch": "2"}}))
        (place / "examples").mkdir()
        (place / "examples" / "0.png").write_bytes(PNG)
        items = [{"file": "0.png", "caption": "image 0", "miou_ucl": 0.5}]
        (place / "examples" / "index.json").write_text(json.dumps({"columns": ["image", "truth", "prediction"], "tile_px": 1, "items": items}))
    stages = [{"stage_id": s["id"], "kind": s["kind"], "state": "done", "train_s": 1.0} for s in renamed["stages"]]
    pd.DataFrame(stages).to_parquet(folder / "stages.parquet")
    return folder


def _with_ids(folder: Path, plan: dict[str, object]) -> dict[str, object]:
    """Give stages ids as a launch does, in plan, table and folders."""
    runs = pd.read_parquet(folder / "runs.parquet")
    names = sorted({str(one) for column in ("pretrain_id", "intermediate_id", "run_id") for one in runs[column].dropna()})
    ids = {name: f"{name.split('-')[0]}-{number:012x}" for number, name in enumerate(names)}
    for column in ("pretrain_id", "intermediate_id", "run_id", "trunk_id"):
        runs[column] = runs[column].map(ids, na_action="ignore")
    runs.to_parquet(folder / "runs.parquet", index=False)
    rows = [{key: ids.get(str(value), value) for key, value in run.items()} for run in plan["runs"]]  # type: ignore[attr-defined]
    for name, new in ids.items():
        place = folder / "stages" / name
        place.mkdir(parents=True, exist_ok=True)
        place.rename(folder / "stages" / new)
    order = {"pretrain": 0, "intermediate": 1, "finetune": 2}
    stages = [{"id": one, "kind": one.split("-")[0], "parent": None, "image_passes": 100, "spec": {}} for one in ids.values()]
    return plan | {"runs": rows, "stages": sorted(stages, key=lambda stage: order[str(stage["kind"])])}


def hostile_study(rng: random.Random, scratch: Path) -> str:
    """Copy the study into `scratch` and make one to three of its files hostile."""
    folder = scratch / "study"
    shutil.copytree(whole_study(), folder)
    (scratch / "secret.png").write_bytes(PNG + b"secret")
    top = [path for path in folder.iterdir() if path.is_file()]
    done: list[str] = []
    changed: set[Path] = set()
    for _ in range(rng.randint(1, 3)):
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        kept = [path for path in top if path in files]
        path = rng.choice(kept if kept and rng.random() < 0.7 else files)
        if path.suffix == ".parquet" and path not in changed and rng.random() < 0.7:
            done.append(_changed_table(rng, path))
        else:
            done.append(damaged_file(rng, path, elsewhere=scratch / "secret.png"))
        changed.add(path)
    return "; ".join(done)


def _changed_table(rng: random.Random, path: Path) -> str:
    """Change columns of a Parquet file: others types, none, renamed, added, lists in cells."""
    table = pd.read_parquet(path)
    name = rng.choice(list(table.columns))
    action = rng.choice(["text", "numbers", "lists", "drop", "rename", "empty", "add", "dates", "bytes"])
    if action == "drop":
        table = table.drop(columns=name)
    elif action == "rename":
        table = table.rename(columns={name: rng.choice(["", "x" * 5000, "<b>", "own", "miou "])})
    elif action == "empty":
        table[name] = None
    elif action == "add":
        table["own"] = 0.5
    else:
        values = {
            "text": ["a", "", "x" * 10_000, None, "1", "../../x"],
            "numbers": [value for value in ODD if isinstance(value, float)],
            "lists": [[1, 2], [], None],
            "dates": [pd.Timestamp("1700-01-01"), pd.NaT],
            "bytes": [b"\xff\0", b""],
        }[action]
        table[name] = [values[number % len(values)] for number in range(len(table))]
    table.to_parquet(path, index=False)
    return f"{path.name}: {action} in {name}"


def _attempt(command: str, rng: random.Random, scratch: Path) -> str:
    done = hostile_study(rng, scratch)
    try:
        if command == "report":
            call(build, [str(scratch / "study"), "--out", str(scratch / "page.html")])
            page = (scratch / "page.html").read_bytes()
            assert base64.b64encode(b"secret")[:6] not in page, "the page holds a file from outside"
        else:
            call(status, [str(scratch / "study"), "--json"])
    except Exception as error:
        error.add_note(done)
        raise
    return done


ATTACKS = (
    Attack(name="study folder into the report", attempt=partial(_attempt, "report"), limit_s=60.0, limit_mb=1500),
    Attack(name="study folder into the status", attempt=partial(_attempt, "status"), limit_s=5.0),
)
