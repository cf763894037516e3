"""Speed and memory as paired ratios: `python -m tests.benchmarks`, from the root of the repository.

Each row compares two ways of doing one job, A and B, in turns (A B A B), on a fixed number of threads, and
gives the median of the paired ratios with the smallest and the largest. Times are the process's CPU time by
default, which other programs on the machine disturb least; memory is the peak beyond what the imports take,
each side in a process of its own. Rows are appended to `docs/results/speed.jsonl`.

The rows that compare with other packages need `pip install -e ".[bench]"`.
"""
