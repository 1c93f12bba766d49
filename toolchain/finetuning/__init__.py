"""Fine-tuning: a compiled program is trained on through its own integer arithmetic.

Nothing is imported here: ``options`` is read where there is no torch.
"""
