"""Somebody sets the machine's clock, and the node notices."""

import pytest

from dicom_node.clock import ClockWatch


class Clocks:
    """The one that can be set and the one that cannot."""

    def __init__(self) -> None:
        self.clock = 1e9
        self.steady = 5.0

    def go_on(self, seconds: float, clock_is_off_by: float = 0.0) -> None:
        self.steady += seconds
        self.clock += seconds + clock_is_off_by


@pytest.mark.parametrize("hours", [3, -3, 1000])
def test_a_clock_that_was_set_is_noticed_until_it_is_followed(hours: int) -> None:
    clocks = Clocks()
    watch = ClockWatch(lambda: clocks.clock, lambda: clocks.steady)
    clocks.go_on(5)
    assert watch.set_by() == 0.0
    clocks.go_on(5, clock_is_off_by=hours * 3600)
    assert watch.set_by() == watch.set_by() == hours * 3600
    watch.follow()
    assert watch.set_by() == 0.0


def test_a_clock_that_is_brought_right_slowly_was_not_set() -> None:
    clocks = Clocks()
    watch = ClockWatch(lambda: clocks.clock, lambda: clocks.steady)
    for _ in range(1000):
        clocks.go_on(5, clock_is_off_by=0.0025)  # 500 ppm is the fastest
        assert watch.set_by() == 0.0
