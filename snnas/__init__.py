"""snnas: searches, trains, compiles and checks spiking networks for neuromorphic chips."""
