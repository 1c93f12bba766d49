"""The constants of a board from its own meter: probe programs, which of them to run, the log, and the fit."""
