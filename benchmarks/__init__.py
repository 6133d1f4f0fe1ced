"""Comparisons of the running product with baselines measured in the same run.

`python -m benchmarks` (or `make bench`) prints one small table per benchmark, each figure next to its goal. The service
is a process of its own on one core; the load, ComfyUI's stand-in and the baselines' callers share the other. Machines
differ, so the ratios count and the absolute figures are for reading only. Loopback only; nothing here is a test.
"""
