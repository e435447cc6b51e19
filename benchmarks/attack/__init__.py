"""Hostile inputs, drawn from a seed, against everything that reads a file: each must be accepted or
refused in one sentence, in bounded time and memory.
"""
