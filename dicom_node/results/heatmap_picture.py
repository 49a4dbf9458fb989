"""The heatmap as a picture: the radiograph as a viewer shows it, the model's attention over it, and what both mean.

The film keeps its own pixels, one to one; the words stand in bands above and below, so that they hide no anatomy. The
answers are told apart at a glance, by the colour-blind too: likely is amber, its regions in a drawn line; uncertain is
blue, its regions in a dashed line; unlikely is a quiet grey without regions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_node.results.colours import LEVELS, OUTLINE, colour_scale
from dicom_node.results.lettering import (
    Colour,
    Line,
    Phrase,
    draw_lines,
    layout,
    line_width,
    total_height,
)
from dicom_node.results.wording import (
    ATTENTION_CAPTION,
    BURNED_IN_DISCLAIMER,
    flag,
    plain_text,
    score_statement,
    side_statement,
)
from inference.card import ModelCard
from inference.prediction import Answer, Attention, Prediction, Region

_NARROWEST = 400
"""Columns below which the words would not be legible; narrower films get black margins."""

_BACKGROUND: Colour = (12, 12, 14)
_TEXT: Colour = (225, 225, 225)
_QUIET: Colour = (165, 165, 165)
_SHADOW: Colour = (0, 0, 0)

_FIRST_SHOWN = 0.25
"""Attention below this share is not shown."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How an answer looks; the peak of attention is never so opaque that it hides what lies under it."""

    headline: Colour
    words: Colour
    bold: bool
    opaque_at_peak: float
    dashed: bool


_LOOKS = {
    Answer.LIKELY: _Look((255, 196, 61), _TEXT, bold=True, opaque_at_peak=0.55, dashed=False),
    Answer.UNCERTAIN: _Look((125, 190, 255), _TEXT, bold=False, opaque_at_peak=0.4, dashed=True),
    Answer.UNLIKELY: _Look(_QUIET, _QUIET, bold=False, opaque_at_peak=0.2, dashed=False),
}


@dataclass(frozen=True, slots=True)
class _Measures:
    """Sizes that grow with the picture, since viewers shrink it to their window."""

    letters: int
    margin: int
    stroke: int

    @classmethod
    def of(cls, width: int, height: int) -> "_Measures":
        letters = round(max(width / 46, height / 56, 14))
        return cls(letters=letters, margin=round(letters * 0.7), stroke=max(2, round(letters / 9)))


def draw_heatmap(pixels: NDArray[np.float32], prediction: Prediction, card: ModelCard) -> NDArray[np.uint8]:
    """Draw the picture.

    Parameters
    ----------
    pixels
        (rows, columns), 0 black to 1 white.

    Returns
    -------
    NDArray[np.uint8]
        (rows of film and bands, at least as many columns as the film, 3), sRGB.
    """
    film = _overlaid(pixels, prediction)
    width = max(film.width, _NARROWEST)
    measures = _Measures.of(width, film.height)
    header = layout(_header(prediction), width - 2 * measures.margin, measures.letters)
    footer = layout(_footer(card), width - 2 * measures.margin, measures.letters)
    header_height = total_height(header) + 2 * measures.margin
    footer_height = total_height(footer) + _legend_height(measures) + 3 * measures.margin

    picture = Image.new("RGB", (width, header_height + film.height + footer_height), _BACKGROUND)
    left = (width - film.width) // 2
    picture.paste(film, (left, header_height))
    draw = ImageDraw.Draw(picture)
    draw_lines(draw, header, measures.margin, measures.margin)
    for region in prediction.regions:
        _outline(draw, region, left, header_height, measures, dashed=_LOOKS[prediction.answer].dashed)
    top = header_height + film.height + measures.margin
    _draw_legend(draw, measures, width, top)
    draw_lines(draw, footer, measures.margin, top + _legend_height(measures) + measures.margin)
    return np.asarray(picture)


def _overlaid(pixels: NDArray[np.float32], prediction: Prediction) -> Image.Image:
    grey = Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)).convert("RGB")
    attention = _spread(prediction.attention, grey.size)
    colours = attention.copy()
    colours.putpalette(colour_scale().tobytes())
    strongest = _LOOKS[prediction.answer].opaque_at_peak
    share = np.clip((np.arange(LEVELS) / (LEVELS - 1) - _FIRST_SHOWN) / (1 - _FIRST_SHOWN), 0, 1)
    # A smooth step (3x^2 - 2x^3): the rim of the shown attention fades in without an edge.
    opacity = np.rint(255 * strongest * (3 * share**2 - 2 * share**3)).astype(int)
    return Image.composite(colours.convert("RGB"), grey, attention.point(opacity.tolist()))


def _spread(attention: Attention, size: tuple[int, int]) -> Image.Image:
    """The coarse grid, laid smoothly over the whole film."""
    grid = np.array(attention.values, dtype=np.float64).reshape(attention.rows, attention.columns)
    levels = np.rint(np.clip(grid, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


def _header(prediction: Prediction) -> list[Phrase]:
    look = _LOOKS[prediction.answer]
    side = "" if prediction.side is None else f", {side_statement(prediction.side)}"
    return [
        Phrase(f"AI: {flag(prediction.answer)}", look.headline, scale=1.35, bold=look.bold),
        Phrase(score_statement(prediction) + side, look.words),
    ]


def _footer(card: ModelCard) -> list[Phrase]:
    return [
        Phrase(BURNED_IN_DISCLAIMER, _TEXT, bold=True),
        Phrase(
            f"{plain_text(card.name)} {plain_text(card.version)} - {ATTENTION_CAPTION}", _QUIET, scale=0.9
        ),
    ]


def _outline(
    draw: ImageDraw.ImageDraw, region: Region, left: int, top: int, measures: _Measures, *, dashed: bool
) -> None:
    """A thin bright line with a dark one around it, to be seen on lung and on bone."""
    x0, y0 = left + region.left, top + region.top
    x1, y1 = left + region.right - 1, top + region.bottom - 1
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=_SHADOW, width=measures.stroke + 2)
    if not dashed:
        draw.rectangle((x0, y0, x1, y1), outline=OUTLINE, width=measures.stroke)
        return
    dash, depth = 4 * measures.stroke, measures.stroke - 1
    for x in range(x0, x1 + 1, 2 * dash):
        for y in (y0, max(y1 - depth, y0)):
            draw.rectangle((x, y, min(x + dash, x1), min(y + depth, y1)), fill=OUTLINE)
    for y in range(y0, y1 + 1, 2 * dash):
        for x in (x0, max(x1 - depth, x0)):
            draw.rectangle((x, y, min(x + depth, x1), min(y + dash, y1)), fill=OUTLINE)


def _legend_height(measures: _Measures) -> int:
    return round(measures.letters * 1.2)


def _draw_legend(draw: ImageDraw.ImageDraw, measures: _Measures, width: int, top: int) -> None:
    """The colour scale between its ends' names."""
    low, high = (
        layout([Phrase(text, _QUIET, scale=0.9)], width, measures.letters)[0]
        for text in ("attention: low", "high")
    )
    start = measures.margin
    draw_lines(draw, [low], start, top)
    start += line_width(low) + measures.margin
    end = min(start + 12 * measures.letters, width - 2 * measures.margin - line_width(high))
    _draw_scale(draw, start, end, top, low)
    draw_lines(draw, [high], end + measures.margin, top)


def _draw_scale(draw: ImageDraw.ImageDraw, start: int, end: int, top: int, beside: Line) -> None:
    scale = colour_scale()
    upper, lower = top + beside.height // 5, top + beside.height - beside.height // 5
    for column in range(start, end):
        red, green, blue = scale[(column - start) * (LEVELS - 1) // max(end - start - 1, 1)].tolist()
        draw.line((column, upper, column, lower), fill=(red, green, blue))
