"""Segmentation models: bundles of every format, the networks, inference, ensembles."""

import lazy_loader

from ctseg_imaging import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
