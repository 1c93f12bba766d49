"""``snnas diagnose``: where a program parts from its graph, which loss does it, and which of its numbers are wrong."""
