"""A CUDA that computes nothing: torch's FakeTensors on ``cuda:0``, without a GPU and on a torch built for CPUs.

``guard.cpp`` makes torch and its autograd believe in one device; ``watch`` notes what a GPU would have to wait for or
copy; ``run`` takes training steps and scores candidates under both, and prints what was found as JSON.
"""
