"""What a plan costs: simulated on a machine, in operations and bytes, in the order of the grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import Plan, load_grid, make_plan
from scaling.cluster.machine import Granted
from scaling.formatting import count, size
from scaling.plan.budget import budget, check_disk, check_ray_disk
from scaling.plan.forecast import play, ranks
from trials import InputError


@pytest.fixture
def plan(grid_file: Path, small_data: Path) -> Plan:
    return make_plan(load_grid(grid_file, ["seeds=1"]), small_data)


def shapes(plan: Plan, side_by_side: int) -> dict[str, Granted]:
    return dict.fromkeys(plan.stages, Granted(cpus=1, gpus=0.0, side_by_side=side_by_side))


def test_one_at_a_time_takes_the_sum_and_many_at_once_the_longest_chain(plan: Plan) -> None:
    stage_s = {name: 1.0 + place for place, name in enumerate(plan.stages)}
    assert play(plan, stage_s, shapes(plan, 1)) == pytest.approx(sum(stage_s.values()))
    chain: dict[str, float] = {}
    for name, stage in plan.stages.items():
        chain[name] = stage_s[name] + max((chain[need] for need in stage.spec.needs), default=0.0)
    assert play(plan, stage_s, shapes(plan, 1000)) == pytest.approx(max(chain.values()))


def test_an_unfinished_part_is_played_without_what_is_done(plan: Plan) -> None:
    last = list(plan.stages)[-2:]
    assert play(plan, dict.fromkeys(last, 2.0), shapes(plan, 1)) == 4.0
    assert play(plan, {}, {}) == 0.0


def test_the_longest_first_starts_what_the_longest_chain_hangs_on(plan: Plan) -> None:
    stage_s = dict.fromkeys(plan.stages, 1.0)
    rank = ranks(plan, "longest", stage_s)
    assert rank is not None
    for name, stage in plan.stages.items():
        assert all(rank(need) < rank(name) for need in stage.spec.needs)
    cheap = next(reversed(plan.stages))
    cheapest = ranks(plan, "cheapest", stage_s | {cheap: 0.1})
    assert cheapest is not None
    assert min(plan.stages, key=cheapest) == cheap
    assert ranks(plan, "deepest", stage_s) is None


def test_the_longest_first_fills_two_machines_better_than_the_cheapest_first(plan: Plan) -> None:
    stage_s = {name: (9.0 if stage.spec.kind == "pretrain" else 1.0) for name, stage in plan.stages.items()}
    wall = {order: play(plan, stage_s, shapes(plan, 2), rank=ranks(plan, order, stage_s)) for order in ("longest", "cheapest")}
    assert wall["longest"] < wall["cheapest"]


def test_bytes_and_arithmetic_are_those_of_the_stages(plan: Plan, tmp_path: Path) -> None:
    granted = dict.fromkeys(("pretrain", "intermediate", "finetune"), Granted(cpus=1, gpus=0.0, side_by_side=2))
    kept = {keep: budget(plan, tmp_path / "none", granted, keep) for keep in ("everything", "weights", "results")}
    assert kept["everything"].kept_bytes == kept["weights"].kept_bytes > kept["results"].kept_bytes > 0
    assert kept["weights"].peak_bytes > kept["weights"].kept_bytes
    passes = {name: stage.own_image_passes for name, stage in plan.stages.items()}
    finetunes = [name for name, stage in plan.stages.items() if stage.spec.kind == "finetune"]
    per_image = {kept["weights"].stage_flops[name] / passes[name] for name in finetunes}
    assert len(per_image) == 1


def test_a_study_that_cannot_fit_the_disk_is_refused_before_it_starts(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.plan.budget.free_bytes", lambda folder: 1000)
    granted = dict.fromkeys(("pretrain", "intermediate", "finetune"), Granted(cpus=1, gpus=0.0, side_by_side=2))
    found = budget(plan, tmp_path, granted, "weights")
    with pytest.raises(InputError, match=r"will keep .* MB, but the disk of .* has 1 kB free: make room"):
        check_disk(found, tmp_path, list(plan.stages))
    check_disk(found, tmp_path, [])


def test_a_launch_whose_ray_would_find_no_room_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/r")  # sockets need a short path
    monkeypatch.setattr("scaling.plan.budget.free_bytes", lambda folder: 1_000_000 if folder == Path("/r") else 10**12)
    with pytest.raises(InputError, match=r"Ray writes its logs to /r, where 1 MB are free, and needs 100 MB: make room, or name a folder"):
        check_ray_disk()


def test_a_folder_with_too_long_a_path_for_sockets_is_refused_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts at a start took half a minute, and their sentence named a socket."""
    monkeypatch.setattr("scaling.plan.budget.free_bytes", lambda folder: 10**12)
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 25)
    check_ray_disk()
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 300)
    with pytest.raises(
        InputError, match=r"^Ray's sockets lie in /x+, whose path of 301 bytes is too long .*: name a folder with a shorter path"
    ) as told:
        check_ray_disk()
    assert len(str(told.value)) < 500


def test_numbers_read_as_people_write_them() -> None:
    assert [count(n) for n in (950, 20_000, 1_300_000, 2.5e12, 3e18)] == ["950", "20k", "1.3M", "2.5T", "3E"]
    assert [size(n) for n in (512, 48_100_000, 1.21e12)] == ["512 B", "48.1 MB", "1.21 TB"]
