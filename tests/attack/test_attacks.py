"""A few inputs of every family of `python -m benchmarks.attack`, which attempts thousands: each is
accepted or refused in a sentence, within the family's limits of processor time and memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import analysis
from benchmarks.attack.__main__ import FINE, Attempts, Tally
from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.case import Attack, fault_of
from benchmarks.attack.tables import FUNCTIONS, READERS

SEEDS = {"study folder into the report": 1, "tables into commands of analysis": 6, "tables into functions of analysis": 30}
USUAL_SEEDS = 20


@pytest.fixture(scope="module")
def attempts() -> Iterator[Attempts]:
    """The process in which all are attempted."""
    process = Attempts()
    yield process
    process.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_hostile_input_is_accepted_or_refused_in_a_sentence(attack: Attack, attempts: Attempts) -> None:
    tally = Tally(attack=attack)
    for seed in range(SEEDS.get(attack.name, USUAL_SEEDS)):
        tally.add(seed, attempts.attempt(attack, seed))
    assert not tally.faults
    assert set(tally.outcomes) <= set(FINE)


def test_every_public_function_of_analysis_is_attacked() -> None:
    public = {name for name in dir(analysis) if inspect.isfunction(getattr(analysis, name, None))}
    without_table = {"load_runs", "load_stages", "load_published", "run_in_rounds"}
    assert public == {*FUNCTIONS, *READERS, *without_table}


@pytest.mark.parametrize(("said", "fault"), [("", "no message"), ("a\nb", "several lines"), ("a" * 501, "too long"), ("It is so: do this.", "")])
def test_what_is_no_sentence_is_a_fault(said: str, fault: str, tmp_path: Path) -> None:
    assert fault_of(said, tmp_path) == fault
