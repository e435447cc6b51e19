"""The study folder: its files, tables, lock and remote copies."""
