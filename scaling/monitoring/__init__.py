"""What a running study shows: display, metrics, dashboards."""
