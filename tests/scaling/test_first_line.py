"""The first line of a launch does not wait for torch, whose import takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_line_is_printed_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    code = (
        "import builtins, sys; said = builtins.print\n"
        "def first(*words, **options):\n"
        "    said(*words, sorted({'torch', 'ray', 'pandas', 'rich'} & set(sys.modules)))\n"
        "    sys.exit(0)\n"
        "builtins.print = first\n"
        "from scaling.launch import main; main(['grids/quickstart.yaml'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "reading grids/quickstart.yaml ... []", done.stderr
