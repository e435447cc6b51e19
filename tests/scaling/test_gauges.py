"""What a launch exports as metrics, and the dashboard that shows them."""

from __future__ import annotations

import configparser
import json
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from scaling import Plan, Study, dashboards, load_grid, make_plan
from scaling.cluster.machine import Granted
from scaling.monitoring import prometheus as monitoring
from scaling.monitoring.gauges import METRICS, Gauges, Set
from scaling.plan.forecast import NOTHING, Forecast, Range
from trials.stage_files import write_json

Values = dict[frozenset[tuple[str, str]], float]


class Recorder:
    """What Ray would export: the newest value of each metric by its tags."""

    def __init__(self) -> None:
        self.values: dict[str, Values] = defaultdict(dict)

    def gauge(self, name: str) -> Set:
        def to(value: float, tags: dict[str, str]) -> None:
            assert set(tags) == set(METRICS[name][1]), name
            self.values[name][frozenset(tags.items())] = value

        return to

    def of(self, name: str, **tags: str) -> float:
        (value,) = [value for key, value in self.values[name].items() if tags.items() <= dict(key).items()]
        return value


@pytest.fixture
def plan(grid_file: Path, small_data: Path) -> Plan:
    return make_plan(load_grid(grid_file), small_data)


def gauges(plan: Plan, study: Study, recorder: Recorder, *, done: tuple[str, ...] = ()) -> Gauges:
    left = {name: 10.0 for name in plan.stages if name not in done}
    wall = Range(low=50.0, middle=100.0, high=200.0)
    forecast = Forecast(stage_s=left, wall_s=100.0, wall_range_s=wall, gpu_hours=NOTHING, cpu_hours=NOTHING, measured_from="")
    granted = dict.fromkeys(("pretrain", "intermediate", "finetune"), Granted(cpus=4, gpus=0.5, side_by_side=2))
    return Gauges(plan, study, forecast, granted, gauge=recorder.gauge)


def test_stages_are_counted_by_kind_and_state(plan: Plan, tmp_path: Path) -> None:
    recorder, pretrain = Recorder(), [name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"]
    watcher = gauges(plan, Study(tmp_path), recorder)
    watcher.stage_progressed(pretrain[1], {"step": 1, "steps": 4, "images_per_s": 8.0, "val_mim_loss": 0.5})
    watcher.stage_retried(pretrain[1], "it died", 1.0)
    watcher.stage_progressed(pretrain[1], {"step": 2, "steps": 4, "images_per_s": 8.0, "val_mim_loss": 0.4})
    watcher.stage_ended(pretrain[0], {}, "the loss is NaN")
    watcher.refresh()
    assert recorder.of("scaling_study_stages", kind="pretrain", state="failed") == 1
    assert recorder.of("scaling_study_stages", kind="pretrain", state="running") == 1
    assert recorder.of("scaling_study_stages", kind="finetune", state="blocked") == 4
    assert recorder.of("scaling_study_stages", kind="pretrain", state="retrying") == 0, "set, or an earlier number would stand"
    assert sum(recorder.values["scaling_study_stages"].values()) == len(plan.stages)
    assert recorder.of("scaling_study_retries", kind="pretrain") == 1
    assert recorder.of("scaling_study_images_per_s", kind="pretrain") == 8.0
    assert recorder.of("scaling_stage_progress", stage=pretrain[1]) == 0.5
    assert recorder.of("scaling_stage_loss", stage=pretrain[1], measure="val_mim_loss") == 0.4
    assert recorder.of("scaling_study_seconds_left", bound="low") < recorder.of("scaling_study_seconds_left", bound="high")


def test_a_stage_that_has_ended_is_not_set_again_and_its_result_joins_those_of_its_kind(plan: Plan, tmp_path: Path) -> None:
    recorder, pretrain = Recorder(), [name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"]
    watcher = gauges(plan, Study(tmp_path), recorder)
    for name, loss in zip(pretrain, (0.3, 0.5), strict=True):
        watcher.stage_progressed(name, {"step": 1, "steps": 4})
        watcher.stage_ended(name, {"val_mim_loss": loss}, None)
    watcher.refresh()
    assert not recorder.values["scaling_stage_progress"]
    summary = {of: recorder.of("scaling_study_result", kind="pretrain", measure="val_mim_loss", of=of) for of in ("best", "median", "latest")}
    assert summary == {"best": 0.3, "median": 0.4, "latest": 0.5}


def test_hours_count_earlier_launches_failed_attempts_and_what_runs(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("scaling.monitoring.progress_counts.time.monotonic", lambda: clock[0])
    recorder, study = Recorder(), Study(tmp_path)
    first, second = [name for name, stage in plan.stages.items() if stage.spec.kind == "pretrain"]
    study.stage_folder(first).mkdir(parents=True, exist_ok=True)
    write_json(study.stage_folder(first) / "result.json", {"id": first, "metrics": {"val_mim_loss": 0.25}})
    write_json(study.stage_folder(first) / "provenance.json", {"train_s": 3600.0, "gpus": 2.0, "cpus": 1})
    watcher = gauges(plan, study, recorder, done=(first,))
    watcher._counts.clock = lambda: clock[0]
    watcher.read_finished()
    for moment in (0.0, 3600.0):
        clock[0] = moment
        watcher.stage_progressed(second, {"step": 1, "steps": 2})
    watcher.stage_retried(second, "it died", 1.0)
    watcher.stage_progressed(second, {"step": 1, "steps": 2})
    clock[0] = 7200.0
    watcher.refresh()
    assert recorder.of("scaling_study_gpu_hours", kind="pretrain") == pytest.approx(2.0 + 0.5 + 0.5)
    assert recorder.of("scaling_study_cpu_hours", kind="pretrain") == pytest.approx(1.0 + 4.0 + 4.0)
    assert recorder.of("scaling_study_result", measure="val_mim_loss", of="best") == 0.25


def test_every_metric_is_set_by_a_launch_that_has_all_there_is(plan: Plan, tmp_path: Path) -> None:
    recorder, (one, other, *_) = Recorder(), list(plan.stages)
    watcher = gauges(plan, Study(tmp_path), recorder)
    watcher.stage_ended(other, {"val_mim_loss": 0.5}, None)
    with watcher:
        watcher.stage_progressed(one, {"step": 1, "steps": 2, "images_per_s": 3.0, "train_loss": 1.0, "val_accuracy": 0.5})
        watcher.refresh()
    assert {name for name, values in recorder.values.items() if values} == set(METRICS)


def test_every_metric_of_the_dashboard_is_ours_or_a_known_one_of_ray() -> None:
    named = dashboards.metrics(dashboards.dashboard())
    ours = {f"ray_{name}" for name in METRICS}
    assert named - ours == dashboards.RAY_METRICS
    assert named & ours == ours, "every metric that is exported is shown"


def test_the_dashboard_in_the_repository_is_the_one_that_is_printed() -> None:
    assert (Path(dashboards.__file__).parent / "grafana" / dashboards.FILE).read_text() == dashboards.as_json()


def test_prometheus_and_grafana_are_given_all_they_need_and_listen_here_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "with space"
    assert monitoring.main([str(folder)]) == 0
    output = capsys.readouterr().out
    assert f"--config.file='{folder}'/prometheus.yml" in output
    assert "--web.listen-address=127.0.0.1:9090" in output
    read = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    (job,) = yaml.safe_load(read["prometheus.yml"])["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [str(monitoring.service_discovery_file())]
    ini = configparser.ConfigParser()
    ini.read_string(read["grafana.ini"])
    assert (ini["server"]["http_addr"], ini["paths"]["provisioning"]) == ("127.0.0.1", f"{folder}/provisioning")
    # the default account, admin with the password admin, is not made
    assert (ini["security"]["disable_initial_admin_creation"], ini["auth.basic"]["enabled"]) == ("true", "false")
    (provider,) = yaml.safe_load(read["provisioning/dashboards/scaling-law-laboratory.yml"])["providers"]
    assert json.loads((Path(provider["options"]["path"]) / dashboards.FILE).read_text()) == dashboards.dashboard()
    (source,) = yaml.safe_load(read["provisioning/datasources/prometheus.yml"])["datasources"]
    assert (source["url"], source["type"]) == ("http://127.0.0.1:9090", "prometheus")


def test_rays_list_of_machines_is_looked_for_where_ray_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._common.utils import get_default_ray_temp_dir

    for name, value in (("TMPDIR", "/a"), ("RAY_TMPDIR", "/b")):
        monkeypatch.setenv(name, value)
        assert str(monitoring.service_discovery_file().parent) == get_default_ray_temp_dir()


def test_the_panels_do_not_overlap_and_fill_each_row() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken))
