"""A module's command line in a process whose clock libfaketime sets.

libfaketime 0.9.10 refuses clock_nanosleep(2) with a moment of the steady clock, of which Python 3.11 makes `sleep`:
here it sleeps by select(2).

    LD_PRELOAD=.../libfaketimeMT.so.1 ... python -m tests.faults.other_clock dicom_node.cli run
"""

import runpy
import select
import sys
import time


def sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


if __name__ == "__main__":
    time.sleep = sleep
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
