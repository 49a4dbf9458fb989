"""The names of the moments at which something becomes durable: every write transaction has one, and what the object
store does to its files.

A node can be killed before and after each of them, and must take up where it was. So nothing is written without a
name of this list, and the tests kill a real node at every one.
"""

from enum import StrEnum


class Step(StrEnum):
    """What a write transaction, or a step of the object store, makes durable."""

    MIGRATED = "migrated"
    NODE_STARTED = "node_started"
    NODE_STOPPED = "node_stopped"
    BY_HAND = "by_hand"
    """What a person changes by a command, and that a person looked."""

    AUDIT_SENT = "audit_sent"
    ASSOCIATION_REFUSED = "association_refused"
    INSTANCE_RECEIVED = "instance_received"

    REPORT_READ = "report_read"
    """What a final report says of an answer."""

    MODEL_LOADED = "model_loaded"
    JOB_CLAIMED = "job_claimed"
    IMAGE_ANALYSED = "image_analysed"
    MODEL_CHANGED = "model_changed"
    STUDY_REPORTED = "study_reported"
    JOB_PUT_BACK = "job_put_back"
    JOB_TRIED = "job_tried"
    SHADOW_ANSWERED = "shadow_answered"

    DELIVERY_CLAIMED = "delivery_claimed"
    RESULT_DELIVERED = "result_delivered"
    DELIVERY_PUT_OFF = "delivery_put_off"
    DELIVERY_ENDED = "delivery_ended"
    COMMITMENT_ASKED = "commitment_asked"
    COMMITMENT_PUT_OFF = "commitment_put_off"
    COMMITMENT_OVERDUE = "commitment_overdue"
    COMMITMENT_ANSWERED = "commitment_answered"
    COMMITMENTS_FORGOTTEN = "commitments_forgotten"
    FOUND_MISSING = "found_missing"

    DESTINATION_ASKED = "destination_asked"
    HISTORY_FORGOTTEN = "history_forgotten"

    FETCH_CLAIMED = "fetch_claimed"
    FETCH_ASKED = "fetch_asked"
    FETCH_ENDED = "fetch_ended"
    FETCH_PUT_OFF = "fetch_put_off"
    FETCH_REJECTED = "fetch_rejected"

    LEASES_EXPIRED = "leases_expired"
    BROUGHT_FORWARD = "brought_forward"
    CLOCK_FOLLOWED = "clock_followed"
    STUDIES_REMOVED = "studies_removed"
    OBJECTS_LET_GO = "objects_let_go"

    OBJECT_WRITTEN = "object_written"
    OBJECT_SYNCED = "object_synced"
    OBJECT_MOVED = "object_moved"
    FOLDER_SYNCED = "folder_synced"
    OBJECT_REMOVED = "object_removed"
    LEFTOVERS_REMOVED = "leftovers_removed"
