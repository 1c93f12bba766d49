"""From a trained run, or anybody's graph, to a measured program on target."""
