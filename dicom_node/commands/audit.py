"""The audit trail: who sent, who was refused, what was sent where, which settings changed, and who looked.

dicom-node audit verify    finds every record that was changed, taken away or put in; exit status 1 if there is one
dicom-node audit list      prints the trail, oldest first; with --json each record is a line of JSON

Every record carries a digest of itself and of the one before it. Who may write the whole database could chain it anew;
the copy that [audit] sends to a syslog server has the digests, too, and shows that.
"""

import argparse
import json
from dataclasses import asdict
from datetime import datetime

from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, open_existing_folder
from storage import audit
from storage.folder import DataFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `audit` takes."""
    parser.add_argument("what", choices=["verify", "list"], help="what to do with the trail")
    parser.add_argument("--after", type=int, default=0, metavar="NUMBER", help="list: records after this one")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify or list."""
    folder = open_existing_folder(arguments)
    if arguments.what == "verify":
        return _verify(folder, as_json=arguments.json)
    note_look(folder, "audit_looked_at", command="audit list")
    with folder.database.read() as connection:
        for record in audit.records(connection, arguments.after):
            if arguments.json:
                print(json.dumps(asdict(record)))
            else:
                at = datetime.fromtimestamp(record.at).isoformat(" ", "milliseconds")
                print(f"{record.id} {at} {record.event} {json.dumps(record.detail)}")
    return 0


def _verify(folder: DataFolder, *, as_json: bool) -> int:
    with folder.database.read() as connection:
        found = list(audit.breaks(connection))
        end = audit.end(connection)
    if as_json:
        print(json.dumps({"breaks": [asdict(each) for each in found], "end": asdict(end)}))
        return 1 if found else 0
    for each in found:
        print(f"record {each.id} {each.sentence}")
    if not found:
        sent = f", sent up to {end.sent_id}" if end.sent_id else ""
        print(f"whole: {end.last_id} records{sent}; the last one's digest is {end.digest}")
    return 1 if found else 0
