"""`dicom-node` in which nothing can be unpickled: what tries to raises, in the parent as in its analysing processes.

    python -m tests.faults.unpickling_refused run --config FILE

The audit event `pickle.find_class` (Python's table of audit events) comes for every class or function that an
unpickler looks up, in C and in Python; `open` for every file.
"""

import _pickle
import pickle
import sys
from typing import Any, NoReturn

PICKLES = (".pt", ".pth", ".pkl")


class Unpickled(BaseException):
    """No `except Exception` takes it."""


def refuse(*_arguments: Any, **_keywords: Any) -> NoReturn:
    raise Unpickled


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        raise Unpickled
    if event == "open" and str(arguments[0]).endswith(PICKLES):
        print("touched", arguments[0], file=sys.stderr)
        raise Unpickled


class Unpickler(pickle.Unpickler):
    """Can be derived from, as torch does when it is imported, and not used."""

    __init__ = refuse
    load = refuse


def refuse_unpickling(role: str) -> None:
    sys.addaudithook(audit)
    real = _pickle.loads
    for module in (pickle, _pickle):
        for name in ("load", "loads"):
            setattr(module, name, refuse)
        module.Unpickler = Unpickler  # type: ignore[attr-defined, misc]
    pickle._Unpickler = Unpickler  # type: ignore[attr-defined]
    refused = 0
    for tried in (pickle.loads, _pickle.loads, real):
        try:
            tried(b"cbuiltins\nprint\n.")
        except Unpickled:
            refused += 1
    if refused == 3:
        print(f"unpickling is refused in {role}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    refuse_unpickling(sys.argv[1])
    if sys.argv[1] == "analyse":
        from dicom_node import child_main

        child_main.main()
    else:
        from dicom_node import child, cli

        child.COMMAND = (sys.executable, "-m", "tests.faults.unpickling_refused", "analyse")
        sys.exit(cli.main())
