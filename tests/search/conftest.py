import torch

# Small tensors gain nothing from threads, and on a busy machine lose much.
torch.set_num_threads(1)
