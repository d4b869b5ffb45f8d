"""CT and MR segmentation in napari, and from Python: `import napari_ctseg as ctseg`.

The names listed in `__init__.pyi` are the public API (`napari_ctseg.api`). They are loaded when they are
first used, so importing this package takes a few milliseconds.
"""

import lazy_loader

from ctseg_imaging import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
