"""MSE-NAS: spiking networks of circuit motifs, evolved at three scales (arXiv 2304.10749; docs/mse_nas.md)."""
