"""Heads that give every pixel a class, one file each; `head.py` holds the interface and registry."""
