"""The searcher releases stages as their parents finish, and a failure blocks descendants alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling import Plan, Study, load_grid, make_plan
from trials.ledger import write_json


@pytest.fixture
def planned(grid_file: Path, small_data: Path, tmp_path: Path) -> tuple[Plan, Study]:
    grid = load_grid(grid_file, ["seeds=1"])
    plan, study = make_plan(grid, small_data), Study(tmp_path / "study")
    study.write_plan(grid, plan)
    return plan, study


def finish(study: Study, name: str) -> None:
    write_json(study.stage_folder(name) / "result.json", {"id": name, "metrics": {}})


def test_every_stage_is_released_once_after_its_parent_with_no_barrier(planned: tuple[Plan, Study]) -> None:
    from scaling.searcher import ReadyStages

    plan, study = planned
    searcher = ReadyStages(plan, study, lambda name: {"stage": name})
    released: list[str] = []
    running: list[tuple[str, str]] = []
    while True:
        suggestion = searcher.suggest(f"trial{len(released)}")
        if suggestion == ReadyStages.FINISHED:
            break
        if suggestion is not None:
            name = suggestion["stage"]
            parent = plan.stages[name].spec.parent
            assert parent is None or study.is_done(parent)
            running.append((f"trial{len(released)}", name))
            released.append(name)
            continue
        assert running, "nothing runs and nothing is suggested: Tune would wait for ever"
        trial, name = running.pop(0)
        finish(study, name)
        searcher.on_trial_complete(trial)
    assert sorted(released) == sorted(plan.stages)
    assert not searcher.failed


def test_a_failure_blocks_its_descendants_and_the_rest_goes_on(planned: tuple[Plan, Study]) -> None:
    from scaling.searcher import ReadyStages

    plan, study = planned
    searcher = ReadyStages(plan, study, lambda name: {"stage": name})
    culprit = next(name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain")
    released: dict[str, str] = {}
    while (suggestion := searcher.suggest(trial := f"trial{len(released)}")) != ReadyStages.FINISHED:
        assert suggestion is not None
        name = released[trial] = suggestion["stage"]
        if name != culprit:
            finish(study, name)
        searcher.on_trial_complete(trial, error=name == culprit)
    assert list(searcher.failed) == [culprit]
    assert "ended without a word" in searcher.failed[culprit]
    states = study.states(plan)
    assert states[culprit].state == "failed"
    assert [name for name, state in states.items() if state.state == "blocked"] == [name for name in plan.stages if name not in released.values()]
    assert all(state.reason.endswith(culprit) for state in states.values() if state.state == "blocked")


def test_a_result_that_is_not_the_stages_own_does_not_count(planned: tuple[Plan, Study]) -> None:
    plan, study = planned
    name = next(iter(plan.stages))
    write_json(study.stage_folder(name) / "result.json", {"id": "another", "metrics": {}})
    assert not study.is_done(name)
