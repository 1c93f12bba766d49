"""Any model, ours or foreign: opened, read in a convention, compiled, simulated, priced."""
