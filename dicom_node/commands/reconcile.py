"""Ask every archive what it holds, and compare it with what it was sent: for one study, or for a day.

held      the archive has the object
missing   it answered that it has it, and has it no more; --heal sends it again
extra     it has an object in a series of this node that it was never sent under this UID
in doubt  the object has not arrived yet, or the archive cannot be asked: the reason tells

Without a STUDY it is the day before, or the one that --day names. Every night the node does the same by itself for what
arrived in the last two days, and sends again what is missing. The exit status is 0 where everything is held.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from datetime import date, datetime, time, timedelta

from dicom_node import logs
from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, settings_of
from dicom_node.reconciliation import Verdict, reconcile
from storage import reconciliation, views
from storage.folder import DataFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `reconcile` takes."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "study",
        metavar="STUDY",
        nargs="?",
        help="accession number, UID, or job as `dicom-node jobs` names it",
    )
    which.add_argument(
        "--day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="a day in this machine's time zone"
    )
    parser.add_argument("--heal", action="store_true", help="queue what is missing to be sent again")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, compare and print."""
    settings = settings_of(arguments)
    logs.configure(settings.logging)
    folder = DataFolder.existing(settings.node.data_dir)
    with folder.database.read() as connection:
        if arguments.study is None:
            day = arguments.day or date.today() - timedelta(days=1)
            studies = reconciliation.studies_reported(connection, *_limits(day))
            of_what = f"{len(studies)} studies reported on {day}"
        else:
            study = views.find_study(connection, arguments.study)
            if study is None:
                print(f"dicom-node: nothing known of {arguments.study!r}", file=sys.stderr)
                return 1
            studies = [study]
            of_what = f"study {study}"
    if arguments.study is None:
        note_look(folder, "list_looked_at", command="reconcile", count=len(studies))
    else:
        note_look(folder, "study_looked_at", command="reconcile", study_instance_uid=studies[0])
    found = list(reconcile(settings, folder, studies, heal=arguments.heal))
    is_proven = all(finding.verdict is Verdict.HELD for finding in found)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found]))
        return 0 if is_proven else 1
    counts = Counter(finding.verdict for finding in found)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    print(f"{of_what}: {told}")
    for finding in found:
        if finding.verdict is not Verdict.HELD:
            what = finding.kind or "object"
            reason = f": {finding.reason}" if finding.reason else ""
            again = "; sent again" if finding.is_sent_again else ""
            print(
                f"  {finding.destination}: {finding.verdict}, {what} {finding.sop_instance_uid}{reason}{again}"
            )
    return 0 if is_proven else 1


def _limits(day: date) -> tuple[float, float]:
    """Return when a day begins and ends, in seconds since 1970."""
    start = datetime.combine(day, time())
    return start.timestamp(), (start + timedelta(days=1)).timestamp()
