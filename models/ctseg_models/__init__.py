"""Segmentation models: bundles of every format, the networks, inference, ensembles."""

import os

import lazy_loader

from ctseg_imaging import __version__ as __version__

# Large maps in huge pages: 160 MB are there in 10 ms, and page by page in up to 250. Linux only; torch looks
# once, when it is imported.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
