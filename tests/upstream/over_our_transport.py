"""A plugin of pytest: every connection of the tests is taken as the node takes it (`dicom_node.transport`).

A few want what the node does not do, and are left out, with the reason.
"""

from typing import Any

import pytest
from pynetdicom import events, evt

from dicom_node.transport import switch, take

SECONDS = 60.0
LISTENS = (
    "wants that nobody else listens to an association's events; the node counts what is not answered yet"
)
OUTSIDE = "wants a name service, or a network that swallows what it is sent"
NOT_THE_NODES = {
    "test_association_timeouts": OUTSIDE,
    "test_connection_timeout": OUTSIDE,
    "test_scp_failed_ds_decode": "wants a warning after it has sent: here the answer is there by then",
    "test_tls_transfer": "a PDU of several megabytes: the node takes one",
    "test_unbind_not_event": LISTENS,
    "test_unbind_notification_none": LISTENS,
    "test_no_handlers": LISTENS,
    "test_dimse_sent": LISTENS,
    "test_dimse_sent_bind": LISTENS,
    "test_dimse_sent_unbind": LISTENS,
    "test_dimse_recv": LISTENS,
    "test_dimse_recv_bind": LISTENS,
    "test_dimse_recv_unbind": LISTENS,
}
_trigger = events.trigger


def _trigger_and_take(association: Any, event: Any, attributes: dict[str, Any] | None = None) -> Any:
    if event is evt.EVT_CONN_OPEN:
        take(evt.Event(association, event, attributes or {}), SECONDS)
    return _trigger(association, event, attributes)


def pytest_configure() -> None:
    """Take every connection."""
    switch(on=True)
    events.trigger = _trigger_and_take


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is not the node's."""
    for item in items:
        reason = NOT_THE_NODES.get(getattr(item, "originalname", item.name))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
