"""A run on disk: created, found, locked, moved, removed; files that are whole or not there."""
