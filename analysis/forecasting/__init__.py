"""Choosing among laws by how they extrapolate, and forecasts by their average."""
