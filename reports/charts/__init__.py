"""The charts: each a function from a finished table to an Altair chart. None of them fits, averages or
tests anything.
"""
