"""Training-free scores of candidates, one by one and all of a round at once, and the guards against dead networks."""
