"""The study folder or the image store is deleted, moved or made read-only while a launch works."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from benchmarks.faults.damage import LONGEST_S
from benchmarks.faults.study import FaultReport, StudyUnderTest, moment_s, new_study

SENTENCES = {
    "deleted": "was deleted, moved or replaced while it was worked on",
    "moved": "was deleted, moved or replaced while it was worked on",
    "read-only": "became read-only",
    "store deleted": "was deleted or moved while stages read it",
}


def lost_folder(how: str, injections: int, seed: int, data: Path, scratch: Path, reference: bytes) -> FaultReport:
    """Take a folder away at a random moment of each launch; then put back what was moved, and launch
    again. A launch must end with status 1 and say why, unless it was done already. `read-only` needs
    permission to mount.
    """
    rng = random.Random(f"{how} {seed}")
    report = FaultReport(fault=f"folder {how}")
    said = 0
    while report.injections < injections:
        own_data = scratch / f"data-{report.studies}" if how == "store deleted" else data
        if own_data is not data:
            shutil.copytree(data, own_data)
        study = new_study(own_data, scratch, report)
        process = study.start()
        if study.wait_until_training(process) and study.sleep(process, moment_s(rng, LONGEST_S)):
            report.injections += 1
            _take(how, study)
            status = study.end(process)
            said += status == 1 and SENTENCES[how] in study.log.read_text(errors="replace")
            _give_back(how, study)
        else:
            study.end(process)
        study.settle(reference)
        shutil.rmtree(study.folder.parent, ignore_errors=True)
    report.notes.append(f"{said} launches ended with status 1 and the sentence")
    return report


def _take(how: str, study: StudyUnderTest) -> None:
    if how == "deleted":
        study.seen.clear()  # what was done is gone with the folder, and runs again
        shutil.rmtree(study.folder, ignore_errors=True)
    elif how == "moved":
        study.folder.rename(study.folder.with_name("moved"))
    elif how == "read-only":
        subprocess.run(["mount", "--bind", str(study.folder), str(study.folder)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(study.folder)], check=True)
    else:
        shutil.rmtree(study.data / "store")


def _give_back(how: str, study: StudyUnderTest) -> None:
    if how == "deleted":
        study.seen.clear()
    elif how == "moved":
        shutil.rmtree(study.folder, ignore_errors=True)
        study.folder.with_name("moved").rename(study.folder)
    elif how == "read-only":
        subprocess.run(["umount", "-l", str(study.folder)], check=True)
