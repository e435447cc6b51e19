"""Sections of the report that hold more than figures, one module each with its registration.

A new module here is found by itself (`reports.registry`); nothing lists them.
"""
