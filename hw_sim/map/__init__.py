"""Places a program on the cores of a chip, and says what does not fit."""
