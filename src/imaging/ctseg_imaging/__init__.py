"""Medical volumes: geometry, file formats, resampling, windows, metrics, phantoms and editing.

Arrays are (z, y, x); physical points are LPS mm (x, y, z). The names listed in `__init__.pyi` load the module
that defines them when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
