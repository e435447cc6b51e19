"""Writes the configuration of Prometheus and Grafana for the launches on this machine.

    python -m scaling.monitoring.prometheus watching

It prints the commands that start both, which then listen on this machine alone. Nothing is
downloaded or started.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from scaling.dashboards import FILE, as_json

_PROMETHEUS = """\
global:
  scrape_interval: 10s   # Ray reports as often
scrape_configs:
- job_name: ray
  file_sd_configs:
  - files: ['{found}']   # Ray lists the machines of the present launch in it
    refresh_interval: 10s
"""
_GRAFANA = """\
[paths]
data = {folder}/grafana-data
provisioning = {folder}/provisioning
[server]
http_addr = 127.0.0.1
[auth.anonymous]
enabled = true
org_role = Viewer
[auth.basic]
enabled = false
[security]
allow_embedding = true
disable_initial_admin_creation = true
[analytics]
reporting_enabled = false
check_for_updates = false
"""
_SOURCE = """\
apiVersion: 1
datasources:
- name: Prometheus
  type: prometheus
  access: proxy
  url: {url}
  isDefault: true
"""
_PROVIDER = """\
apiVersion: 1
providers:
- name: scaling-law-laboratory
  type: file
  options:
    path: {folder}/dashboards
"""
PROMETHEUS = "http://127.0.0.1:9090"


def write_configuration(folder: Path, *, prometheus: str = PROMETHEUS) -> dict[str, str]:
    """Write the files; returns the commands that start Prometheus and Grafana."""
    folder = folder.resolve()
    files = {
        "prometheus.yml": _PROMETHEUS.format(found=service_discovery_file()),
        "grafana.ini": _GRAFANA.format(folder=folder),
        "provisioning/datasources/prometheus.yml": _SOURCE.format(url=prometheus),
        "provisioning/dashboards/scaling-law-laboratory.yml": _PROVIDER.format(folder=folder),
        f"dashboards/{FILE}": as_json(),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    place = shlex.quote(str(folder))
    return {
        "Prometheus": f"prometheus --config.file={place}/prometheus.yml --storage.tsdb.path={place}/data --web.listen-address=127.0.0.1:9090",
        "Grafana": f"grafana server --homepath /usr/share/grafana --config {place}/grafana.ini",
    }


def service_discovery_file() -> Path:
    """The file in Ray's temporary folder where the newest Ray lists the addresses of its metrics."""
    temporary = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None) or "/tmp"
    return Path(temporary) / "ray" / "prom_metrics_service_discovery.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.monitoring.prometheus", description="Connect Prometheus and Grafana to launches on this machine."
    )
    parser.add_argument("folder", type=Path, help="a folder for their configuration and data")
    parser.add_argument("--prometheus", default=PROMETHEUS, metavar="URL", help=f"where Grafana finds Prometheus (default: {PROMETHEUS})")
    options = parser.parse_args(arguments)
    try:
        commands = write_configuration(options.folder, prometheus=options.prometheus)
    except OSError as error:
        print(f"{options.folder} cannot be written ({error.strerror}): choose another folder.", file=sys.stderr)
        return 2
    for name, command in commands.items():
        print(f"{name + ':':<11} {command}")
    print("dashboard:  http://127.0.0.1:3000/d/scaling-law-laboratory")
    return 0


if __name__ == "__main__":
    sys.exit(main())
