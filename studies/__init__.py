"""Finished studies, kept as tables that a person can read, and what makes a study folder of them
again."""
