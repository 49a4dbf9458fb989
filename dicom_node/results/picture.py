"""Films that other objects can point to, and what is marked on them."""

from dataclasses import dataclass

from dicom_node.results.source import ImageReference, reference_to, size_of
from dicom_node.results.study import Film
from inference.prediction import Region


@dataclass(frozen=True, slots=True)
class Picture:
    """A film that has UIDs and a size."""

    film: Film
    reference: ImageReference
    rows: int
    columns: int

    @property
    def whole(self) -> Region:
        """All of it."""
        return Region(0, 0, self.columns, self.rows)


def picture_of(film: Film) -> Picture | None:
    """The film as one that can be pointed to; None where its header does not say how."""
    reference, size = reference_to(film.header), size_of(film.header)
    if reference is None or size is None:
        return None
    return Picture(film, reference, *size)


def corners(region: Region) -> list[tuple[int, int]]:
    """The box as a closed line of (column, row).

    A pixel's own corners have whole numbers, in reports (PS3.3 C.18.6.1.1) as in presentation states (C.10.5).
    """
    left, top, right, bottom = region.left, region.top, region.right, region.bottom
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
