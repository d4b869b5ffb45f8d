"""Training: recipes, jobs, losses, proximal solvers, data sets and scores.

The names listed in `__init__.pyi` load the module that defines them when they are first used; torch is loaded
with `losses`, `proximal`, `train` and `bundle_scores` only.
"""

import lazy_loader

from ctseg_imaging import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
