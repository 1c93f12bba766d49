"""Data sets: reading them without trust, splitting them, the seeds that everything draws from."""
