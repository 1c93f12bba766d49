"""Search: genotypes, search spaces, networks, proxies and search methods. Imports none of the other folders."""

import logging

# torch 2.13 warns on a CPU that Triton is missing each time spikingjelly registers its kernels; nothing here needs it.
logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
