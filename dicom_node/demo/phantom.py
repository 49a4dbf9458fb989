"""A drawn chest: what the demonstration and the tests send where no real radiograph may or need be used."""

import numpy as np
from numpy.typing import NDArray

BLACK_TO_WHITE = 4095
"""The phantom has 12 bits."""


def chest_phantom(rows: int, columns: int, *, opacity: bool = False, seed: str = "1") -> NDArray[np.uint16]:
    """A phantom of a frontal chest, 12 bits, air black: enough anatomy to be neither blank nor noise.

    Returns
    -------
    NDArray[np.uint16]
        (rows, columns), 0..4095.
    """
    down = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows
    across = (np.arange(columns, dtype=np.float32)[None, :] + 0.5) / columns

    def blob(x: float, y: float, width: float, height: float, power: int = 2) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = np.exp(
            -(np.abs((across - x) / width) ** power) - np.abs((down - y) / height) ** power
        )
        return picture

    body = 1 / (1 + np.exp((np.abs(across - 0.5) - 0.46) / 0.012))
    picture = np.tile(2500 * body, (rows, 1))
    for lung in (0.30, 0.70):
        picture -= 1650 * blob(lung, 0.46, 0.165, 0.34, power=4)
    picture += 650 * blob(0.5, 0.5, 0.05, 2.0)
    picture += 750 * blob(0.57, 0.62, 0.13, 0.15)
    picture += 900 / (1 + np.exp((0.80 + 0.05 * np.cos(12 * across) - down) / 0.01))
    for rib in range(9):
        course = 0.14 + 0.075 * rib + 0.35 * (across - 0.5) ** 2
        picture += 170 * np.exp(-(((down - course) / 0.012) ** 2)) * body
    if opacity:
        picture += 1000 * blob(0.30, 0.64, 0.09, 0.09)
    noise = np.random.default_rng(list(seed.encode())).normal(0, 25, picture.shape)
    return np.clip(picture + noise, 0, BLACK_TO_WHITE).astype(np.uint16)
