"""How many films a validation needs, before any is read.

A share p of n films (a sensitivity of ill ones, a specificity of healthy ones) has a 95 % interval of about
p ± 1.96 √(p (1 - p) / n); so n = 1.96² p (1 - p) / d² for one of ± d (Buderer, Acad. Emerg. Med. 3, 1996). In
consecutive films only the prevalence is ill.
"""

import math
from typing import Final

_NORMAL: Final = 1.959964  # the standard normal distribution's quantile of 97.5 %


def films_of_a_label(share: float, half_width: float) -> int:
    """How many ill films a sensitivity, or healthy ones a specificity, of about `share` needs for ± `half_width`."""
    return math.ceil(_NORMAL**2 * share * (1 - share) / half_width**2)


def consecutive_films(share: float, half_width: float, prevalence: float) -> int:
    """How many films in a row hold enough ill and enough healthy ones, both figures being about `share`."""
    return math.ceil(films_of_a_label(share, half_width) / min(prevalence, 1 - prevalence))
