"""The one style of all figures: quiet, and readable for the colour-blind (Okabe and Ito 2008)."""

import io

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

DPI = 130
BLUE, ORANGE, GREY, LIGHT = "#0072b2", "#d55e00", "#777777", "#cccccc"
DIVERGING = LinearSegmentedColormap.from_list("orange-white-blue", [ORANGE, "#ffffff", BLUE])

# Decorates whatever draws: matplotlib reads its settings when a part of a figure is made.
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
        "text.hinting": "no_hinting",  # a text is as wide in every file as it was measured
        "text.parse_math": False,  # a title may hold dollar signs
        "svg.hashsalt": "recsys",  # the same figure is the same file
    }
)


def new_figure(width: float, height: float) -> Figure:
    """A figure, in inches, that makes room for its labels."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def short(title: str, length: int = 36) -> str:
    """A item's title cut to `length`; the year at its end stays.

    >>> short("Monty Python and the Holy Grail (1974)", 24)
    'Monty Python and… (1974)'
    """
    if len(title) <= length:
        return title
    year = title[-7:] if title.endswith(")") and title[-5:-1].isdigit() else ""
    return f"{title[: length - len(year) - 1].rstrip(' ,:')}…{year}"


def zero_line(axes: Axes) -> None:
    """A thin line where x is 0."""
    axes.axvline(0, color=GREY, linewidth=0.8)


@styled
def settle(figure: Figure) -> None:
    """Lay the figure out once and for all."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


@styled
def to_files(figure: Figure) -> tuple[bytes, str]:
    """The figure as a PNG file, and as an <svg> element, letters as shapes: the same on every machine."""
    settle(figure)
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png")
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()[svg.getvalue().index("<svg") :]
