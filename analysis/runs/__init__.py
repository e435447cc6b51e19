"""The runs table: columns, outcomes, groups of runs, matching and cells."""
