"""Search: genotypes, search spaces, networks, proxies and methods. It imports the errors of hw_sim and nothing else."""

import logging

# torch 2.13 warns on a CPU that Triton is missing each time spikingjelly registers its kernels; nothing here needs it.
logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
