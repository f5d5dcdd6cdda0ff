"""Define every color of the package's pictures."""

__all__ = [
    "BACKGROUND",
    "BASELINE",
    "BEST",
    "COLORS",
    "DIAGONAL",
    "FAINT",
    "HEATMAP",
    "INK",
    "INK_ON_DARK",
    "LOSS",
    "OTHERS",
    "SCORE",
    "SHADE",
    "SPINE",
]

# Okabe and Ito's colors, which readers with any color vision tell apart: one a model or a method.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
# What a picture is about, what it is compared with, and all else.
BEST, BASELINE, OTHERS = COLORS[0], COLORS[5], COLORS[6]

# The curve of a training.
LOSS, SCORE = COLORS[0], COLORS[5]

# A heatmap: matplotlib's name of its colors, from low to high, and the cells of a text with itself.
HEATMAP = "viridis"
DIAGONAL = "#D9D9D9"

# Text and axes.
INK, INK_ON_DARK = "#333333", "#FFFFFF"
BACKGROUND, SHADE, FAINT, SPINE = "#FFFFFF", "#F4F4F4", "#E4E4E4", "#BBBBBB"
