"""Tests of whether a treatment has an effect, how large it is, and how certain that is."""
