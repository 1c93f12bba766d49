"""A model in C, run: natively, or as the image of a microcontroller in an emulator (``native``, ``emulate``)."""
