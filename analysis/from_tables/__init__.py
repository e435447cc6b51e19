"""`fit`, `choose_law` and `fit_surface` as users call them: with a table and the names of columns, or
with arrays; one fit, or one for each group.
"""
