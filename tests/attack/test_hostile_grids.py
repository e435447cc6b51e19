"""Grids that would take all time or memory: each is refused in one sentence, within limits that the
test sets on the process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from scaling import load_grid
from scaling.grid.reader import MOST_RUNS
from scaling.launch import main
from trials import InputError

GRID = """\
study: small
encoder: pico/4@32
pretrain: {source: leaves, images: [0, 24], length: 10 steps}
finetune: {source: leaves, images: 8, length: 2 steps}
"""
MEMORY_BYTES = 2_000_000_000
"""Memory that a process which reads a grid may allocate, torch included."""


def doubling() -> str:
    lines = ["bomb0: &b0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"bomb{level}: &b{level} [{', '.join([f'*b{level - 1}'] * 10)}]" for level in range(1, 10)]
    return GRID + "\n".join(lines) + "\n"


HOSTILE = {
    "aliases that double": (doubling(), r"line \d+: the grid holds more than 100,000 values once its aliases are expanded"),
    "a value that holds itself": (GRID + "arms: &a {x: *a}\n", r"line 5: a value holds itself through an alias"),
    "a list that holds itself": (GRID + "zip: &a [*a]\n", r"^\S+/grid.yaml line 5: a value holds itself through an alias"),
    "a date within a list": (GRID + "zip: [[x, 2020-99-99]]\n", r"line 5: not valid YAML \('2020-99-99' cannot be read as timestamp\)\.$"),
    "a trillion seeds": (GRID + "seeds: 1000000000000\n", r"line 5: the grid makes 2,000,000,000,000 runs \(2 cells\), and may make 100,000"),
    "a million seeds": (GRID + "seeds: 1000000\n", r"line 5: the grid makes 2,000,000 runs"),
    "three long axes": (
        GRID.replace("[0, 24]", str(list(range(1000)))).replace("images: 8, length: 2 steps", f"images: {list(range(1, 1001))}, length: 2 steps")
        + f"zip: [pretrain.images, finetune.images]\nexclude: []\nintermediate: {{source: leaves, images: {list(range(1, 1001))}, length: 1 step}}\n",
        r"the grid makes 6,000,000 runs \(2,000,000 cells\)",
    ),
    "a length of 50,000 digits": (GRID.replace("10 steps", "1" * 50_000 + " steps"), r"line 3: a value has 50,006 characters, and may have 1,000"),
    "a length of 900 digits": (GRID.replace("10 steps", "1" * 900 + " steps"), "line 3: A training length must read like"),
    "a name of 300 letters": (GRID.replace("small", "a" * 300), "line 1: a study's name names a folder: use up to 100 letters"),
    "a name of 200 kB": (GRID.replace("small", "a" * 200_000), "line 1: a value has 200,000 characters"),
    "an unknown key of 900 letters": (GRID + f"{'k' * 900}: 1\n", "line 5: unknown key"),
    "a grid of 2 MB": (GRID + "# comment\n" * 200_000, r"has 2,000,\d+ bytes: a grid has 1,000,000 at most"),
    "a number without digits": (GRID + 'seeds: !!int ""\n', r"grid.yaml line 5: not valid YAML \('' cannot be read as int\)\.$"),
    "a float without digits": (GRID + 'seeds: !!float "+"\n', r"line 5: not valid YAML \('\+' cannot be read as float\)\.$"),
    "a date that is none": (GRID + "seeds: !!timestamp abc\n", r"line 5: not valid YAML \('abc' cannot be read as timestamp\)\.$"),
    "a number to the base 60": (GRID + f"seeds: 1{':59' * 300}\n", r"line 5: seeds must be a whole number"),
    "a huge hexadecimal number": (GRID + f"seeds: 0x{'f' * 900}\n", r"line 5: seeds must be a whole number"),
    "lists 50,000 deep": (GRID + f"zip: {'[' * 50_000}\n", r"not valid YAML \(lists or mappings within each other, too deep to read\)\.$"),
    "a key twice in a list": (
        GRID + "exclude: [{pretrain.images: 0, pretrain.images: 24}]\n",
        r"line 5: the key 'exclude.pretrain.images' is given twice",
    ),
    "a key twice deep in a list": (
        GRID + "arms: {a: {exclude: [{encoder: x, encoder: y}]}}\n",
        r"line 5: the key 'arms.a.exclude.encoder' is given twice",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_grid_is_one_short_sentence(case: str, tmp_path: Path) -> None:
    text, sentence = HOSTILE[case]
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        load_grid(tmp_path / "grid.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) - len(str(tmp_path)) < 500


def test_the_same_at_the_command_line_in_bounded_memory_and_time(tmp_path: Path) -> None:
    """All grids in one process whose memory and CPU time are limited."""
    for number, (text, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number}.yaml").write_text(text)
    code = """
import sys
from pathlib import Path
from scaling import load_grid
from trials import InputError
refused = 0
for file in sorted(Path(sys.argv[1]).glob("*.yaml")):
    try:
        load_grid(file)
    except InputError:
        refused += 1
print(refused)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        soft = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, soft))

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.strip() == str(len(HOSTILE))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (f"seeds={'[' * 30_000}", "--set seeds"),
        ("seeds=&a [*a]", "holds itself"),
        ("seeds=!!timestamp abc", "not valid YAML"),
        (f"study={'a' * 100_000}", "--set study line 1: a value has 100,000 characters"),
        ("seeds=1000000", "the grid makes 2,000,000 runs"),
    ],
)
def test_hostile_settings_are_refused_alike(setting: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    with pytest.raises(InputError) as caught:
        load_grid(tmp_path / "grid.yaml", [setting])
    assert sentence in str(caught.value)
    assert len(str(caught.value)) - len(str(tmp_path)) < 500


def test_a_large_grid_within_the_limits_is_read(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID.replace("images: 8", f"images: {list(range(8, 108))}") + f"seeds: {MOST_RUNS // 200}\n")
    assert sum(1 for _ in load_grid(tmp_path / "grid.yaml").axes.combinations()) == 200


def test_zipped_axes_count_once(tmp_path: Path) -> None:
    """1,000 pairs, and not a million combinations of which 1,000 are kept."""
    sizes, lengths = list(range(24, 1024)), [f"{count} steps" for count in range(1, 1001)]
    text = GRID.replace("images: [0, 24], length: 10 steps", f"images: {sizes}, length: {lengths}")
    (tmp_path / "grid.yaml").write_text(text + "zip: [pretrain.images, pretrain.length]\nseeds: 1\n")
    cells = list(load_grid(tmp_path / "grid.yaml").axes.combinations())
    assert len(cells) == 1000
    assert [(cell.pretrain.images, cell.pretrain.length.value) for cell in cells if cell.pretrain][:2] == [(24, 1.0), (25, 2.0)]


@pytest.mark.parametrize("arguments", [["--plan"], []], ids=["plan", "launch"])
def test_more_images_than_the_disk_holds_are_refused_before_any_is_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid.yaml").write_text(GRID.replace("images: 8", "images: 8, test_images: 1000000000000"))
    given = [str(tmp_path / "grid.yaml"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *arguments]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert "most of it 1,000,000,000,000 images of leaves finetune-heldout at 37 px (5.51 PB), but the disk of" in said
    assert len(said.splitlines()) == 1
    assert not list((tmp_path / "data").rglob("*.npy"))
