"""Which films are measured together."""

from collections.abc import Sequence
from typing import Final

from inference.films.data import Film

EVERYTHING: Final = "all validation"
_AGES: Final = (
    (18, "under 18 years"),
    (40, "18 to 39 years"),
    (60, "40 to 59 years"),
    (1000, "60 years and older"),
)


def part_of(film: Film) -> str:
    """The films that this one is first of all measured with: its source's validation or test films."""
    return f"{film.source} {'test' if film.test else 'validation'}"


def groups_of(films: Sequence[Film]) -> dict[str, list[int]]:
    """Sort films into groups by name; a film is in several.

    Each source's validation films and its test films (these also without duplicates), of them each view, sex and age
    group, and at the end the validation films of all sources. A group that holds all of its part is left out: it says
    nothing new.
    """
    parts: dict[str, list[int]] = {}
    traits: dict[str, dict[tuple[int, str], list[int]]] = {}
    for index, film in enumerate(films):
        part = part_of(film)
        parts.setdefault(part, []).append(index)
        for trait in _traits(film):
            traits.setdefault(part, {}).setdefault(trait, []).append(index)
    groups = {}
    for part, whole in sorted(parts.items()):
        groups[part] = whole
        for (_, words), chosen in sorted(traits.get(part, {}).items()):
            if chosen != whole:
                groups[f"{part}{words}"] = chosen
    asked = [index for index, film in enumerate(films) if not film.test]
    if asked and asked not in groups.values():
        groups[EVERYTHING] = asked
    return groups


def _traits(film: Film) -> list[tuple[int, str]]:
    """The groups of its part that a film is in: where they stand, and what is written behind the part's name."""
    traits = [] if film.duplicate else [(0, " without duplicates")]
    traits += [(place, f", {name}") for place, name in ((1, film.view), (2, film.sex)) if name]
    if film.age is not None:
        years = film.age
        traits.append(next((above, f", {name}") for above, name in _AGES if years < above))
    return traits
