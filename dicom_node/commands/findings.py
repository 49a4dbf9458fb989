"""How `verify`, `backup` and `restore` go through objects and say what they found."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.progress import track

from storage.needed import NeededObject
from storage.verification import Finding


def shown(objects: Sequence[NeededObject]) -> Iterable[NeededObject]:
    """Go through objects and show on a terminal how far it is."""
    return track(
        objects, "objects", console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )


def print_findings(findings: Iterable[Finding]) -> None:
    """Print each fault, whose it is, and its mend."""
    for each in findings:
        print(f"  {each.fault}")
        if each.study_instance_uid is not None:
            print(
                f"    accession number {each.accession_number or '(none)'}, study {each.study_instance_uid}"
            )
            print(f"    instance {each.sop_instance_uid}")
        print(f"    mend: {each.mend}")
