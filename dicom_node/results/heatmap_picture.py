"""The heatmap as a picture: the radiograph as a viewer shows it, the model's attention over it, and what both mean.

The film keeps its own pixels, one to one, unless the settings want the picture small; the words stand in bands above
and below, so that they hide no anatomy. The answers are told apart at a glance, by the colour-blind too: likely is
amber, its regions in a drawn line; uncertain is blue, its regions in a dashed line; unlikely is a quiet grey without
regions.
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

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

_REACH = 2
"""Cells that a bicubic filter looks at on either side."""

_PORTION_PIXELS = 128 * 1024
"""What fits into a processor's cache with all that is made of it."""

_LUNG_GREY = 90
"""What the legend's colours lie over."""

_Box: TypeAlias = tuple[int, int, int, int]
"""First column and row, last column and row, all of them within."""


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
    """Sizes that grow with the picture, since viewers shrink it to their window.

    `legend` is the size of the legend's letters, which leave room for its scale on the narrowest film.
    """

    letters: int
    legend: int
    margin: int
    stroke: int
    shadow: int

    @classmethod
    def of(cls, width: int, height: int) -> "_Measures":
        letters = round(max(width / 46, height / 56, 14))
        stroke = max(2, round(letters / 9))
        return cls(
            letters=letters,
            legend=min(letters, width // 14),
            margin=round(letters * 0.7),
            stroke=stroke,
            shadow=max(1, stroke // 3),
        )


def draw_heatmap(
    pixels: NDArray[np.float32], prediction: Prediction, card: ModelCard, longest_side: int = 0
) -> NDArray[np.uint8]:
    """Draw the picture.

    Parameters
    ----------
    pixels
        (rows, columns), 0 black to 1 white.
    longest_side
        Rows or columns of the film in the picture at most; 0: its own.

    Returns
    -------
    NDArray[np.uint8]
        (rows of film and bands, at least as many columns as the film in it, 3), sRGB.
    """
    shown = _shrunk(pixels, longest_side)
    rows, columns = shown.shape
    width = max(columns, _NARROWEST)
    measures = _Measures.of(width, rows)
    header = _header_band(prediction, measures, width)
    footer = _footer_band(card, _LOOKS[prediction.answer], measures, width)

    picture = np.empty((header.shape[0] + rows + footer.shape[0], width, 3), np.uint8)
    top, left = header.shape[0], (width - columns) // 2
    picture[:top], picture[top + rows :] = header, footer
    picture[top : top + rows, :left] = picture[top : top + rows, left + columns :] = _BACKGROUND
    _draw_film(picture[top : top + rows, left : left + columns], shown, prediction)
    scale = rows / pixels.shape[0], columns / pixels.shape[1]
    for region in prediction.regions:
        outlined = _scaled(region, *scale)
        _outline(picture, outlined, left, top, measures, dashed=_LOOKS[prediction.answer].dashed)
    return picture


def draw_attention(attention: Attention, rows: int, columns: int) -> NDArray[np.uint8]:
    """Draw the attention alone, to be laid over the film: (rows, columns, 4), sRGB and opacity, its peak opaque."""
    levels = _spread(attention, rows, columns, slice(0, rows), slice(0, columns))
    opacity = np.rint(255 * _shares()).astype(np.uint8)
    return np.dstack([colour_scale()[levels], opacity[levels]])


def peak_opacity(answer: Answer) -> float:
    """How opaque the peak of attention is with this answer, 0..1, so that what lies under it is seen."""
    return _LOOKS[answer].opaque_at_peak


def _shrunk(pixels: NDArray[np.float32], longest_side: int) -> NDArray[np.float32]:
    rows, columns = pixels.shape
    share = longest_side / max(rows, columns)
    if not 0 < share < 1:
        return pixels
    size = max(1, round(columns * share)), max(1, round(rows * share))
    # its bilinear filter is as wide as the pixels that make one of the result: nothing is skipped
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _scaled(region: Region, rows: float, columns: float) -> Region:
    return Region(
        left=round(region.left * columns),
        top=round(region.top * rows),
        right=round(region.right * columns),
        bottom=round(region.bottom * rows),
    )


def _draw_film(film: NDArray[np.uint8], pixels: NDArray[np.float32], prediction: Prediction) -> None:
    """Draw the pixels, and the attention over them where it is shown, into `film`: (rows, columns, 3)."""
    rows, columns = pixels.shape
    down, across = _shown(prediction.attention, rows, columns)
    attention = _spread(prediction.attention, rows, columns, down, across)
    tables = _over_grey(_LOOKS[prediction.answer])
    step = max(1, _PORTION_PIXELS // columns)
    for row in range(0, rows, step):
        grey = np.clip(pixels[row : row + step], 0, 1)
        grey *= 255
        grey += 0.5
        levels = grey.astype(np.uint8)
        first, last = max(row, down.start), min(row + step, down.stop)
        over = attention[first - down.start : max(last, first) - down.start].astype(np.intp) << 8
        over |= levels[first - row : max(last, first) - row, across]
        for colour in range(3):  # all at once takes five times as long
            film[row : row + step, :, colour] = levels
            if over.size:
                film[first:last, across, colour] = np.take(tables[colour], over)


@cache
def _over_grey(look: _Look) -> NDArray[np.uint8]:
    """Red, green and blue, (3, 65536): place 256 a + g is attention of level a over the grey g."""
    opacity = np.array(_opacity(look))[:, None]
    colours, grey = colour_scale().T[:, :, None].astype(int), np.arange(LEVELS)
    blended = np.rint((colours * opacity + grey * (255 - opacity)) / 255)
    tables: NDArray[np.uint8] = blended.astype(np.uint8).reshape(3, -1)
    return tables


def _shown(attention: Attention, rows: int, columns: int) -> tuple[slice, slice]:
    """The rows and columns of a film that hold all attention which is shown."""
    grid = _grid(attention)
    down, across = np.nonzero(grid >= min(_FIRST_SHOWN - 1 / LEVELS, grid.max()))
    return _around(down, attention.rows, rows), _around(across, attention.columns, columns)


def _around(marked: NDArray[np.intp], cells: int, length: int) -> slice:
    """The pixels of a side that these of its cells have a part in, once they are laid smoothly over it."""
    first, last = max(0, int(marked.min()) - _REACH), min(cells, int(marked.max()) + 1 + _REACH)
    return slice(first * length // cells, -(-last * length // cells))


def _opacity(look: _Look) -> list[int]:
    """How opaque each level of attention is, 0..255."""
    opacity: list[int] = np.rint(255 * look.opaque_at_peak * _shares()).astype(int).tolist()
    return opacity


def _shares() -> NDArray[np.float64]:
    """How opaque each level of attention is beside the peak."""
    share = np.clip((np.arange(LEVELS) / (LEVELS - 1) - _FIRST_SHOWN) / (1 - _FIRST_SHOWN), 0, 1)
    # A smooth step (3x^2 - 2x^3): the rim of the shown attention fades in without an edge.
    smooth: NDArray[np.float64] = 3 * share**2 - 2 * share**3
    return smooth


def _spread(attention: Attention, rows: int, columns: int, down: slice, across: slice) -> NDArray[np.uint8]:
    """The coarse grid, laid smoothly over a whole film, and of that these rows and columns."""
    levels = np.rint(_grid(attention) * (LEVELS - 1)).astype(np.uint8)
    tall, wide = attention.rows / rows, attention.columns / columns
    size = across.stop - across.start, down.stop - down.start
    part = across.start * wide, down.start * tall, across.stop * wide, down.stop * tall
    return np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC, part))


def _grid(attention: Attention) -> NDArray[np.float64]:
    grid = np.array(attention.values, dtype=np.float64).reshape(attention.rows, attention.columns)
    return np.clip(grid, 0, 1)


def _header_band(prediction: Prediction, measures: _Measures, width: int) -> NDArray[np.uint8]:
    lines = layout(_header(prediction), width - 2 * measures.margin, measures.letters)
    band = Image.new("RGB", (width, total_height(lines) + 2 * measures.margin), _BACKGROUND)
    draw_lines(ImageDraw.Draw(band), lines, measures.margin, measures.margin)
    return np.asarray(band)


def _footer_band(card: ModelCard, look: _Look, measures: _Measures, width: int) -> NDArray[np.uint8]:
    lines = layout(_footer(card), width - 2 * measures.margin, measures.letters)
    legend, margin = _legend_height(measures), measures.margin
    band = Image.new("RGB", (width, total_height(lines) + legend + 3 * margin), _BACKGROUND)
    draw = ImageDraw.Draw(band)
    _draw_legend(draw, look, measures, width, margin)
    draw_lines(draw, lines, margin, legend + 2 * margin)
    return np.asarray(band)


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
    picture: NDArray[np.uint8], region: Region, left: int, top: int, measures: _Measures, *, dashed: bool
) -> None:
    """A thin bright line with a dark one around it, to be seen on lung and on bone."""
    x0, y0 = left + region.left, top + region.top
    x1, y1 = left + region.right - 1, top + region.bottom - 1
    pieces = _dashes(x0, y0, x1, y1, measures.stroke) if dashed else _sides(x0, y0, x1, y1, measures.stroke)
    edge = measures.shadow
    for first_x, first_y, last_x, last_y in pieces:
        picture[max(first_y - edge, 0) : last_y + edge + 1, max(first_x - edge, 0) : last_x + edge + 1] = (
            _SHADOW
        )
    for first_x, first_y, last_x, last_y in pieces:
        picture[first_y : last_y + 1, first_x : last_x + 1] = OUTLINE


def _sides(x0: int, y0: int, x1: int, y1: int, stroke: int) -> list[_Box]:
    """The four sides of a frame, within its corners."""
    right, lower = max(x1 - stroke + 1, x0), max(y1 - stroke + 1, y0)
    upper_end, left_end = min(y0 + stroke - 1, y1), min(x0 + stroke - 1, x1)
    return [(x0, y0, x1, upper_end), (x0, lower, x1, y1), (x0, y0, left_end, y1), (right, y0, x1, y1)]


def _dashes(x0: int, y0: int, x1: int, y1: int, stroke: int) -> list[_Box]:
    """The sides in pieces, with gaps that show the film."""
    dash = 4 * stroke
    above, below, left, right = _sides(x0, y0, x1, y1, stroke)
    return [
        *(
            (x, side[1], min(x + dash, x1), side[3])
            for side in (above, below)
            for x in range(x0, x1 + 1, 2 * dash)
        ),
        *(
            (side[0], y, side[2], min(y + dash, y1))
            for side in (left, right)
            for y in range(y0, y1 + 1, 2 * dash)
        ),
    ]


def _legend_height(measures: _Measures) -> int:
    return round(measures.legend * 1.2)


def _draw_legend(draw: ImageDraw.ImageDraw, look: _Look, measures: _Measures, width: int, top: int) -> None:
    """The colours between their ends' names, as they look over a film."""
    low, high = (
        layout([Phrase(text, _QUIET, scale=0.9)], width, measures.legend)[0]
        for text in ("attention: low", "high")
    )
    start = measures.margin
    draw_lines(draw, [low], start, top)
    start += line_width(low) + measures.legend // 2
    after = measures.legend // 2
    end = min(start + 12 * measures.legend, width - measures.margin - after - line_width(high))
    _draw_scale(draw, look, start, end, top, low)
    draw_lines(draw, [high], end + after, top)


def _draw_scale(draw: ImageDraw.ImageDraw, look: _Look, start: int, end: int, top: int, beside: Line) -> None:
    share = np.array(_opacity(look))[:, None] / 255
    colours = np.rint(_LUNG_GREY * (1 - share) + colour_scale() * share).astype(int)
    upper, lower = top + beside.height // 5, top + beside.height - beside.height // 5
    for column in range(start, end):
        red, green, blue = colours[(column - start) * (LEVELS - 1) // max(end - start - 1, 1)].tolist()
        draw.line((column, upper, column, lower), fill=(red, green, blue))
