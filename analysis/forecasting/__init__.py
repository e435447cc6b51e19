"""Chooses among laws by how well they extrapolate, and forecasts by their weighted average."""
