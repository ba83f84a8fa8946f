"""A bar of a round length on an image."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from rocksalt.workflows.figure_style import INK


def add_scale_bar(axes: Axes, pixel_nm: float, n_columns: int) -> None:
    """Put a bar of 1, 2 or 5 times a power of ten below an image, about a quarter of it long.

    Parameters
    ----------
    axes
        With an image in pixels.
    pixel_nm
        Edge of a pixel.
    n_columns
        Pixels in a row.
    """
    wanted = n_columns * pixel_nm / 4
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted * 1.0001)
    share = length / pixel_nm / n_columns
    # below the image, where no data hide it
    below = axes.get_xaxis_transform()
    axes.plot(
        [-0.5, -0.5 + share * n_columns],
        [-0.05, -0.05],
        color=INK,
        lw=3,
        solid_capstyle="butt",
        clip_on=False,
        transform=below,
    )
    text = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    axes.text(
        -0.5 + share * n_columns + 0.02 * n_columns, -0.05, text, va="center", transform=below
    )
