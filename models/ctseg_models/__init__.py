"""Segmentation models: bundles of every format, the networks, inference, ensembles."""

import os

# Large maps in huge pages: 160 MB are there in 10 ms, and page by page in up to 250. Linux only; torch looks
# once, when it is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
