"""How a check is told: one module per format."""
