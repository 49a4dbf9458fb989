"""Everything that happened to one study: what was received, how each image ended, what was reported, where it went.

ID is a job (j7), a delivery (d7), a Study or SOP Instance UID, or an accession number.
"""

import argparse
import json
import sys
from datetime import datetime
from typing import Any

from dicom_node.auditing.person import note_look
from dicom_node.commands.options import add_config, add_json, open_existing_folder
from storage import views
from storage.states import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `show` takes."""
    parser.add_argument("id", metavar="ID", help="job, delivery, UID or accession number")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the study's story; exit status 1 if there is none."""
    folder = open_existing_folder(arguments)
    with folder.database.read() as connection:
        study_instance_uid = views.find_study(connection, arguments.id)
        if study_instance_uid is None:
            print(f"dicom-node: nothing known of {arguments.id!r}", file=sys.stderr)
            return 1
        study = views.study(connection, study_instance_uid)
    note_look(folder, "study_looked_at", command="show", study_instance_uid=study_instance_uid)
    if arguments.json:
        print(json.dumps(study))
    else:
        print("\n".join(_lines(study)))
    return 0


def _lines(study: dict[str, Any]) -> list[str]:
    lines = [f"study {study['study_instance_uid']}" + (", urgent" if study["is_urgent"] else "")]
    for row in study["instances"]:
        again = f", {row['times_received']} times" if row["times_received"] > 1 else ""
        how = "fetched as an earlier film" if row["is_prior"] else "received"
        lines.append(
            f"  {_time(row['received_at'])} {how} from {row['source']}{again}: {row['sop_instance_uid']}"
        )
        if row["stored_only"]:
            lines.append(f"      stored, not analysed: {row['stored_only']}")
        elif row["score"] is not None:
            side = "" if row["side"] is None else f", attention {row['side']}"
            lines.append(
                f"      {_time(row['ended_at'])} job j{row['job']} done: pneumonia {row['answer']}, "
                f"score {row['score']:.3f} (uncertain from {row['uncertain_from']:.3f}, "
                f"likely from {row['likely_from']:.3f}){side}"
            )
        else:
            lines.append(f"      {_ended(row)} job j{row['job']} {_state(row)}")
    for row in study["kept_aside"]:
        if row["corrected_at"] is None:
            what = "received with other pixels, or other data from elsewhere, kept aside and not analysed"
        else:
            what = "received again with the same pixels and other data, which count since then"
        if row["counts_in_study"] != study["study_instance_uid"]:
            what += f", in study {row['counts_in_study']}"
        lines.append(f"  {_time(row['received_at'])} {what}, from {row['source']}: {row['sop_instance_uid']}")
    for row in study["fetches"]:
        count = "" if row["fetched"] is None else f", images fetched: {row['fetched']}"
        lines.append(f"  {_ended(row)} earlier films: {_state(row)}{count}")
    for row in study["reports"]:
        lines.append(f"  {_ended(row)} report {row['revision']}: job j{row['job']} {_state(row)}")
    for row in study["deliveries"]:
        status = "" if row["status"] is None else f" (status 0x{row['status']:04X})"
        if row["state"] == State.DELIVERED:
            status += f", not yet promised to be kept; asked again {_time(row['not_before'])}"
        lines.append(
            f"  {_delivered(row)} {row['kind']} of report {row['revision']} to {row['destination']}: "
            f"delivery d{row['delivery']} {_state(row)}{status}"
        )
    return lines


def _state(row: dict[str, Any]) -> str:
    attempts = f", {row['attempts']} attempts" if row["attempts"] > 1 else ""
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{row['state']}{attempts}{reason}"


def _delivered(row: dict[str, Any]) -> str:
    return _time(row["delivered_at"]) if row["state"] == State.DELIVERED else _ended(row)


def _ended(row: dict[str, Any]) -> str:
    if row["ended_at"] is not None:
        return _time(row["ended_at"])
    return f"(next try {_time(row['not_before'])})" if row["state"] == State.QUEUED else "(now)"


def _time(seconds: float) -> str:
    """Return a moment on this machine's clock, to the millisecond."""
    return datetime.fromtimestamp(seconds).isoformat(" ", "milliseconds")
