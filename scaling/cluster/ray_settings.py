"""What Ray reads from the environment, set before it is imported; a user's own settings win."""

from __future__ import annotations

import os
import sys

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # results live in the study folder
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C comes to the launch as an exception
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 this one prints nothing; the display is ours
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a worker's death is told in our words
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # pages of a dead raylet's state on the user's screen; that it died is told in our words
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # nobody reads Tune's own state, and a full disk would end the run by it
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a worker writes into stage folders alone
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers share this environment; `uv run` is not repeated in each
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # a study says nothing to anyone
}


def apply_ray_settings(*, own: bool = True) -> None:
    """Set the environment for a Ray of our own or for a cluster's; must come before the first
    `import ray`.
    """
    assert "ray" not in sys.modules, "Ray reads its settings when it is imported"
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if own and "RAY_ADDRESS" not in os.environ:  # a cluster that is there already has its own way to sign in
        os.environ.setdefault("RAY_AUTH_MODE", "token")
