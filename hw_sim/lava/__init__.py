"""The Lava worker: its own Python, the file that runs in it, and what it brings back."""
