"""Lines of text that always fit: words wrap, letters shrink for a word too wide, and at last a word is broken.

The letters are Pillow's own scalable font, so no font has to be installed where the node runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from PIL import ImageDraw, ImageFont

SMALLEST = 12
"""Pixels of letter height below which nobody can read."""

_MEASURES_AT_HAND = 4096
"""Most words are those of the last picture, and measuring them takes longer than drawing them."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text of one colour; `scale` is its size beside the others', `bold` its weight."""

    text: str
    colour: Colour
    scale: float = 1.0
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it will be drawn."""

    text: str
    colour: Colour
    size: int
    stroke: float

    @property
    def height(self) -> int:
        """From this line's top to the next one's."""
        return round(self.size * 1.35)


def layout(phrases: Sequence[Phrase], width: int, size: int) -> list[Line]:
    """Break the phrases into lines no wider than `width`; each phrase begins a new line.

    Parameters
    ----------
    size
        Height of the letters wished for; smaller ones are taken where a word is wider than a line.
    """
    lines: list[Line] = []
    for phrase in phrases:
        height = max(round(size * phrase.scale), SMALLEST)
        while height > SMALLEST and any(
            _width(word, height, phrase.bold) > width for word in phrase.text.split()
        ):
            height -= 1
        lines += [_line(text, phrase, height) for text in _wrapped(phrase, width, height)]
    return lines


def draw_lines(draw: ImageDraw.ImageDraw, lines: Sequence[Line], left: int, top: int) -> None:
    """Draw the lines below each other."""
    for line in lines:
        draw.text(
            (left, top + line.height / 2),
            line.text,
            fill=line.colour,
            font=_font(line.size),
            anchor="lm",
            stroke_width=line.stroke,
        )
        top += line.height


def total_height(lines: Sequence[Line]) -> int:
    """The height that the lines take together."""
    return sum(line.height for line in lines)


def line_width(line: Line) -> int:
    """The width of the line's ink."""
    return _measured(line.text, line.size, line.stroke)


def _wrapped(phrase: Phrase, width: int, height: int) -> list[str]:
    lines: list[str] = []
    for word in phrase.text.split():
        if lines and _width(f"{lines[-1]} {word}", height, phrase.bold) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if _width(lines[-1] + letter, height, phrase.bold) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _line(text: str, phrase: Phrase, height: int) -> Line:
    return Line(text, phrase.colour, height, _stroke(height, phrase.bold))


def _width(text: str, height: int, bold: bool) -> int:
    return _measured(text, height, _stroke(height, bold))


def _stroke(height: int, bold: bool) -> float:
    # The font has one weight; an outline of its own colour makes it bold.
    return height / 32 if bold else 0.0


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType, so it has no scalable font")
    return font


@lru_cache(_MEASURES_AT_HAND)
def _measured(text: str, size: int, stroke: float) -> int:
    left, _, right, _ = _font(size).getbbox(text, stroke_width=stroke, anchor="lm")
    return round(right - min(left, 0) + 0.5)
