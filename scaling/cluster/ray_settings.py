"""The environment variables that Ray reads when it is imported; a user's own settings win."""

from __future__ import annotations

import os
import sys

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # results live in the study folder
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches the launch as an exception
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 the old output prints nothing; we have our own display
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # we report a dead worker ourselves
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # hides pages of a dead raylet's state; we report its death ourselves
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # nobody reads Tune's own state, and on a full disk writing it would end the run
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a worker writes only into stage folders
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers share this environment, without `uv run` in each
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_worker_niceness": "0",  # Ray's 15 would leave stages a thirtieth of a core beside another program; `nice` still works
    "RAY_task_events_max_num_task_in_gcs": "10000",  # each stage is some calls; Ray would keep the records of 100,000
}


def apply_ray_settings(*, own: bool = True) -> None:
    """Set the environment for our own Ray or a cluster's, before the first `import ray`."""
    assert "ray" not in sys.modules, "Ray reads its settings when it is imported"
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if own and "RAY_ADDRESS" not in os.environ:  # a running cluster has its own authentication
        os.environ.setdefault("RAY_AUTH_MODE", "token")
