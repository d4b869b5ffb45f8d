"""Segmentation models: bundles of every format, the networks, inference, ensembles."""

import os

# Large maps in huge pages: being given 160 MB takes 10 ms, and up to 250 ms page by page. Linux only; torch looks once, when it is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
