"""The addresses that a launch is given: of a Ray cluster, and of a remote store for its study."""

from __future__ import annotations

import os
import re

from trials.errors import InputError


def is_remote(out: str) -> bool:
    """Whether this is the address of a remote store (s3://bucket/runs/NAME) and not a folder."""
    return re.match(r"[a-z][a-z0-9+.-]+://", out) is not None


def without_secrets(uri: str) -> str:
    """An address without the key, secret and options that it may contain, for messages."""
    scheme, _, rest = uri.partition("://")
    place = rest.partition("?")[0]
    return f"{scheme}://{place.rpartition('@')[2]}"


def check_address(address: str | None) -> str | None:
    """The Ray to join, from --address or RAY_ADDRESS; None to start one for this launch.

    Raises:
        InputError: an address that a launch cannot use.
    """
    where = "--address" if address is not None else "RAY_ADDRESS"
    address = address if address is not None else os.environ.get("RAY_ADDRESS")
    if address is None:
        return None
    if not address.strip() or address == "local":
        raise InputError(f"{where} {address!r} names no cluster: leave it out to start Ray on this machine, or use 'auto'.")
    if address.startswith("ray://"):
        raise InputError(
            f"{where} {address} is that of a Ray Client, which Ray Tune cannot schedule through: run the launch on a machine of the cluster "
            "with --address auto, or submit it there with `ray job submit`."
        )
    if "://" in address:
        raise InputError(
            f"{where} {address} is that of a dashboard: submit the launch through it, as in "
            f"`ray job submit --address {address} -- python -m scaling.launch GRID --address auto`."
        )
    if address != "auto" and not address.rpartition(":")[2].isdigit():
        raise InputError(f"{where} {address} is no address: use 'auto', or HOST:PORT as `ray start --head` printed it.")
    return address
