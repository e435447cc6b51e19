"""The local caches of the Hugging Face hub and of its library `datasets`; neither library is needed.

A data set that was downloaded as Parquet files lies in the hub's cache, in
`hub/datasets--ORG--NAME/snapshots/REVISION`. One that `datasets.load_dataset` has loaded lies, as
Arrow streams, in `datasets/ORG___NAME/CONFIG/VERSION/HASH`. Both are below `HF_HOME`, by default
`~/.cache/huggingface`, unless `HF_HUB_CACHE` or `HF_DATASETS_CACHE` say otherwise.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from trials.errors import InputError


def cached_folder(name: str) -> Path | None:
    """The folder of a data set of the hub, such as 'uoft-cs/cifar100', in the caches; None where it
    is in neither.

    Raises:
        InputError: it was loaded in several configurations, so it is not clear which is meant.
    """
    return _downloaded(name) or _loaded(name)


def _home() -> Path:
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")


def _downloaded(name: str) -> Path | None:
    folder = Path(os.environ.get("HF_HUB_CACHE") or _home() / "hub") / f"datasets--{name.replace('/', '--')}"
    main = folder / "refs" / "main"
    named = [folder / "snapshots" / main.read_text().strip()[:64]] if main.is_file() else []
    for one in [*named, *_newest_first(folder / "snapshots")]:
        if one.is_dir() and next(one.rglob("*.parquet"), None) is not None:
            return one
    return None


def _loaded(name: str) -> Path | None:
    root = Path(os.environ.get("HF_DATASETS_CACHE") or _home() / "datasets")
    owner, _, short = name.rpartition("/")
    wanted = {f"{owner}___{one}" if owner else one for one in (short, _snake_case(short))}
    configurations = [one for folder in sorted(wanted) for one in _newest_first(root / folder)]
    found = {one: newest for one in configurations if (newest := _with_streams(one)) is not None}
    if len(found) > 1:
        names = ", ".join(sorted(one.name for one in found))
        raise InputError(
            f"hf:{name} was loaded in several configurations ({names}): keep one of them in {root}, or download the Parquet files of one."
        )
    return next(iter(found.values()), None)


def _with_streams(configuration: Path) -> Path | None:
    """The newest folder of a configuration that holds streams, VERSION/HASH."""
    folders = [one for version in _newest_first(configuration) for one in _newest_first(version)]
    return next((one for one in folders if any(one.glob("*.arrow"))), None)


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((one for one in folder.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime, reverse=True)


def _snake_case(name: str) -> str:
    """As `datasets` names its folders: 'ImageNet' -> 'image_net'."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()
