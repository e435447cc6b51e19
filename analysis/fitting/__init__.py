"""Fitting laws to points: solvers, standard errors, intervals, predictions."""
