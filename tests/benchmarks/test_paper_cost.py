"""The first paper's cost: how much there is to train is exact, and the command runs."""

from __future__ import annotations

import pytest

from benchmarks import paper_cost
from benchmarks.paper_cost import kinds_of, main, planned
from trials.cost.packing import Packing


def test_passes_and_stages_are_the_papers() -> None:
    kinds = {kind.spec.kind: kind for kind in kinds_of(planned())}
    assert {name: kind.stages for name, kind in kinds.items()} == {"pretrain": 3 * 3, "intermediate": 3 * 3, "finetune": 42 * 3}
    epochs = 100
    # the last batch of a stage is a whole one, so a stage may show up to 63 images more
    assert kinds["pretrain"].shared == pytest.approx(3 * epochs * (45_000 + 100_000 + 200_000), abs=9 * 63)
    assert kinds["pretrain"].alone == kinds["pretrain"].shared * 12  # two objectives by six label counts
    assert kinds["intermediate"].alone == kinds["intermediate"].shared * 6
    assert kinds["finetune"].alone == kinds["finetune"].shared == pytest.approx(3 * 7 * epochs * 13_750, abs=126 * 63)


@pytest.mark.slow
def test_it_runs_and_says_what_it_did_not_judge(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    together = [Packing(stages=stages, images_per_s=rate, peak_memory_bytes=0) for stages, rate in ((1, 1e6), (2, 1.9e6), (4, 1.95e6))]
    monkeypatch.setattr(paper_cost, "measure_packing", lambda spec, **options: together)  # has tests of its own, and starts processes
    main(["--quick", "--device", "cpu", "--threads", "1", "--packing", "1", "2", "4"])
    said = capsys.readouterr().out
    assert "Planned from the published counts of images (1,331,167 of imagenet, 17,034 of intel-scenes, 7,349 of oxford-iiit-pet-pooled)" in said
    assert "Under 1 hour in total needs 43,7" in said
    assert "is not judged: no GPU was used" in said
    assert said.count("1,900,000 (2 at once)") == 3
    # at that speed for every image pass
    assert f"| {157.6e6 / 1.9e6 / 3600:.3g} |" in said
    for kind in ("pretrain (simmim)", "intermediate (classification)", "finetune (segmentation)", "all training"):
        assert f"\n| {kind} |" in said
