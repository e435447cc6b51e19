"""The figures of the report, one module each: its rows, its words, its charts and its registration.

A new module here is found by itself (`reports.registry`); nothing lists them.
"""
