"""From stored values to what a viewer shows (PS3.4 N.2, PS3.3 C.11.1 and C.11.2), as functions of a list of values.

A radiograph has millions of pixels but at most 65,536 different values, so every step is done on the values.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from inference.header import items, number, text, values

Values = NDArray[np.float64]

_ENTRIES: Final = 65536  # what 0 stands for in a LUT Descriptor, which has no room for it (PS3.3 C.11.1.1.1)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A LUT: `entries[0]` is for all values up to `first`, the last entry for all values behind the table."""

    first: int
    entries: Values

    def __call__(self, inputs: Values) -> Values:
        """Look each value up."""
        index = np.clip(np.rint(inputs).astype(np.int64) - self.first, 0, self.entries.size - 1)
        return self.entries[index]


def modality_values(dataset: Dataset, stored: Values) -> Values:
    """Apply the modality LUT, or slope and intercept (PS3.3 C.11.1); what is malformed is left out."""
    table = _first_table(dataset, "ModalityLUTSequence")
    if table is not None:
        return table(stored)
    slope = number(dataset, "RescaleSlope") or 1.0
    return stored * slope + (number(dataset, "RescaleIntercept") or 0.0)


def shown_by_header(dataset: Dataset, inputs: Values) -> Values | None:
    """Apply the first VOI LUT, else the first window: 0 is the darkest, 1 the lightest that a screen shows.

    Returns
    -------
    None where the header holds neither, or nothing that makes sense.
    """
    table = _first_table(dataset, "VOILUTSequence")
    if table is not None and table.entries.max() > 0:
        shown: Values = table(inputs) / table.entries.max()
        return shown
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    return window(inputs, centre, width, text(dataset, "VOILUTFunction"))


def window(inputs: Values, centre: float, width: float, function: str) -> Values | None:
    """Apply a window straight to 0..1 (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Parameters
    ----------
    function
        VOI LUT Function; anything but ``SIGMOID`` and ``LINEAR_EXACT`` is ``LINEAR``, the default.

    Returns
    -------
    None where the standard forbids the width.
    """
    if function == "SIGMOID" and width > 0:
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (inputs - centre) / width, -500.0, 500.0)))
    if function == "LINEAR_EXACT" and width > 0:
        return np.clip((inputs - centre) / width + 0.5, 0.0, 1.0)
    if function in ("SIGMOID", "LINEAR_EXACT") or width < 1:
        return None
    if width == 1:
        return np.where(inputs > centre - 0.5, 1.0, 0.0)
    return np.clip((inputs - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _first_table(dataset: Dataset, keyword: str) -> LookupTable | None:
    for item in items(dataset, keyword)[:1]:
        return _table(item, little_endian=dataset.original_encoding[1] is not False)
    return None


def _table(item: Dataset, *, little_endian: bool) -> LookupTable | None:
    """Read a LUT item (PS3.3 C.11.1.1); None where descriptor and data do not fit each other."""
    descriptor = values(item, "LUTDescriptor")
    data = values(item, "LUTData")
    if len(descriptor) != 3 or not data or not all(isinstance(part, int) for part in descriptor):
        return None
    count, first, bits = descriptor
    count = count or _ENTRIES
    if isinstance(data[0], bytes):  # written as OW
        # Entries of 8 bits may be packed two to a word, or stand in a word each (PS3.3 C.11.1.1.1).
        packed = bits == 8 and len(data[0]) < 2 * count
        kind = np.dtype(np.uint8 if packed else np.uint16).newbyteorder("<" if little_endian else ">")
        entries = np.frombuffer(data[0][: len(data[0]) // kind.itemsize * kind.itemsize], kind).astype(
            np.float64
        )
    elif all(isinstance(entry, int) for entry in data):
        entries = np.asarray(data, np.float64)
    else:
        return None
    if entries.size < count:
        return None
    return LookupTable(first, entries[:count])
