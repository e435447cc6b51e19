"""Probes leave the encoder as it was, and score what scikit-learn scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from tests.trials.conftest import MakeSpec, changed
from tests.trials.test_objectives import objective_of, setting_of
from trials import run_stage, stage_id
from trials.objectives.classification import mean_class_accuracy
from trials.objectives.probes import AttentiveProbe, LinearProbe, nearest_classes


@pytest.mark.parametrize("task", ["linear-probe", "attentive-probe"])
def test_a_probe_trains_its_head_alone(task: str, make_spec: MakeSpec, leaves_store: Path, tmp_path: Path) -> None:
    spec = changed(make_spec("finetune", steps=6, learning_rate=0.01, weight_decay=0.1), objective=task)
    before = {name: value.clone() for name, value in objective_of(spec, leaves_store).model.state_dict().items()}
    folder = tmp_path / "stages" / stage_id(spec)
    metrics = run_stage(spec, folder, leaves_store)["metrics"]
    after = load_file(folder / "checkpoint" / "weights.safetensors")
    assert after.keys() == before.keys()
    for name, value in after.items():
        assert torch.equal(value, before[name]) == name.startswith("encoder."), name
    assert 0 <= metrics["mean_class_accuracy"] <= 1
    assert ("knn_accuracy" in metrics) == (task == "linear-probe")


@pytest.mark.parametrize("kind", [LinearProbe, AttentiveProbe])
def test_the_encoder_stays_in_evaluation_mode(kind: type[LinearProbe], make_spec: MakeSpec, leaves_store: Path) -> None:
    model = kind(setting_of(changed(make_spec("finetune"), objective=kind.name), leaves_store)).model
    model.train()
    assert model.training
    assert not any(module.training for module in model.encoder.modules())  # type: ignore[union-attr,operator]


def test_the_parts_of_a_probe_s_batch_add_up(make_spec: MakeSpec, leaves_store: Path) -> None:
    for task in ("linear-probe", "attentive-probe"):
        stage = objective_of(changed(make_spec("finetune"), objective=task), leaves_store)
        parts = [float(stage.loss(1, (index, 2)).detach()) for index in (0, 1)]
        assert sum(parts) / 2 == pytest.approx(float(stage.loss(1).detach()), rel=1e-5)


def test_nearest_neighbours_are_those_of_scikit_learn() -> None:
    random = torch.Generator().manual_seed(3)
    centres = torch.randn(4, 12, generator=random)
    labels, truth = (torch.randint(0, 4, (n,), generator=random) for n in (80, 50))
    seen, features = (centres[of] + 0.9 * torch.randn(len(of), 12, generator=random) for of in (labels, truth))
    named = nearest_classes(seen, labels, features, classes=4, neighbours=7)
    by_votes = KNeighborsClassifier(7, metric="cosine", weights=lambda distances: torch.exp(-torch.from_numpy(distances) / 0.07).numpy())
    expected = by_votes.fit(seen.numpy(), labels.numpy()).predict(features.numpy())
    assert named.tolist() == expected.tolist()
    assert (named == truth).double().mean() > 0.5


def test_mean_class_accuracy_is_scikit_learn_s_balanced_accuracy() -> None:
    random = torch.Generator().manual_seed(5)
    logits, labels = torch.randn(200, 6, generator=random), (torch.randint(0, 36, (200,), generator=random).double().sqrt().long())
    assert mean_class_accuracy(logits, labels) == pytest.approx(balanced_accuracy_score(labels, logits.argmax(dim=1)))
    only = labels == 5
    assert mean_class_accuracy(logits[only], labels[only]) == pytest.approx(float((logits[only].argmax(dim=1) == 5).double().mean()))
