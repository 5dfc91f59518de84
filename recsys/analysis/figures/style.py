"""Common style of all figures, in colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""

import io
import warnings

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from recsys.terminal import visible

DPI = 130
BLUE, ORANGE, GREY, LIGHT = "#0072b2", "#d55e00", "#777777", "#cccccc"
DIVERGING = LinearSegmentedColormap.from_list("orange-white-blue", [ORANGE, "#ffffff", BLUE])

# Decorator of all functions that draw: matplotlib reads its settings when an element is created.
styled = mpl.rc_context(
    {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "font.size": 9,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": "black",
        "ytick.labelcolor": "black",
        "legend.frameon": False,
        "text.hinting": "no_hinting",  # text has the same width in PNG and SVG files
        "text.parse_math": False,  # titles may contain dollar signs
        "svg.hashsalt": "recsys",  # makes the SVG files reproducible
    }
)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches; its layout reserves space for all labels."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def shorten(title: str, length: int = 36) -> str:
    """Return an item's title, cut to `length` characters; a year at the end is kept.

    >>> shorten("Monty Python and the Holy Grail (1974)", 24)
    'Monty Python and… (1974)'
    """
    if len(title) <= length:
        return title
    year = title[-7:] if title.endswith(")") and title[-5:-1].isdigit() else ""
    return f"{title[: length - len(year) - 1].rstrip(' ,:')}…{year}"


@styled
def fix_layout(figure: Figure) -> None:
    """Compute the layout and keep it: elements added later do not move the others."""
    # A title may have characters that the font lacks; they are drawn as boxes.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


@styled
def to_files(figure: Figure) -> tuple[bytes, str]:
    """Return the figure as the content of a PNG file and as an <svg> element.

    Text in the SVG is drawn as paths, so it does not depend on installed fonts.
    """
    fix_layout(figure)
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png")
    figure.savefig(svg, format="svg", metadata={"Date": None})
    text = visible(svg.getvalue())  # comments contain the texts; XML has no control characters
    return png.getvalue(), text[text.index("<svg") :]
