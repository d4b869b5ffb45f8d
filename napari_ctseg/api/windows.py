"""Display windows by name."""

from __future__ import annotations

from ctseg_imaging.volume import Volume, Window


def presets(image: Volume | None = None) -> dict[str, Window]:
    """Display windows by name.

    Parameters
    ----------
    image : Volume, optional
        With an image: the windows that its file brings, the CT presets if its values are HU, and two
        windows made from its quantiles. Without one: the CT presets.

    Returns
    -------
    dict of str to Window
        Each window has a `width`, a `level` and their `limits` (low, high), in the units of the image
        (HU for CT).

    Examples
    --------
    >>> ctseg.presets()["lung"].limits
    (-1350.0, 150.0)
    >>> low, high = ctseg.presets()["abdomen"].limits
    >>> plt.imshow(image.array[40], cmap="gray", vmin=low, vmax=high)
    """
    from ctseg_imaging.windowing import PRESETS, suggested_windows

    windows = PRESETS if image is None else suggested_windows(image)
    return {window.name: window for window in windows}
