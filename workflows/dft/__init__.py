"""DFT engines: their settings, what of a plan they compute, and one module per code."""
