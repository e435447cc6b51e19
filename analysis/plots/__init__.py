"""Altair charts of results, for a notebook or a paper: what `.plot()` returns."""
