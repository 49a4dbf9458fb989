"""The state machine, against the table of the design typed a second time."""

import pytest

from storage.states import OPEN, TRANSITIONS, Event, State, origins, target

DESIGN = [
    ("queued", "claim", "running"),
    ("running", "succeed", "done"),
    ("running", "deliver", "delivered"),
    ("delivered", "commit", "committed"),
    ("delivered", "not_committed", "queued"),
    ("delivered", "promise_not_wanted", "done"),
    ("delivered", "give_up", "failed"),
    ("done", "found_missing", "queued"),
    ("delivered", "found_missing", "queued"),
    ("committed", "found_missing", "queued"),
    ("running", "reject", "rejected"),
    ("running", "retry_later", "queued"),
    ("running", "give_up", "failed"),
    ("running", "lease_expired", "queued"),
    ("running", "lease_expired_for_good", "failed"),
    ("running", "corrected", "queued"),
    ("done", "corrected", "queued"),
    ("rejected", "corrected", "queued"),
    ("failed", "corrected", "queued"),
    ("dismissed", "corrected", "queued"),
    ("failed", "operator_retries", "queued"),
    ("dismissed", "operator_retries", "queued"),
    ("failed", "dismiss", "dismissed"),
    ("rejected", "dismiss", "dismissed"),
    ("rejected", "operator_retries", "queued"),
]


def test_the_transitions_are_those_of_the_design_and_no_others() -> None:
    assert sorted((str(state), str(event), str(to)) for (state, event), to in TRANSITIONS.items()) == sorted(
        DESIGN
    )


@pytest.mark.parametrize("event", list(Event))
def test_an_event_leads_to_one_state_wherever_it_happens(event: Event) -> None:
    assert {TRANSITIONS[state, event] for state in origins(event)} == {target(event)}


NEWS_FROM_OUTSIDE = {Event.OPERATOR_RETRIES, Event.FOUND_MISSING, Event.CORRECTED, Event.DISMISS}


@pytest.mark.parametrize(
    "state", [State.DONE, State.COMMITTED, State.REJECTED, State.FAILED, State.DISMISSED]
)
def test_an_end_is_the_end_unless_there_is_news_from_outside(state: State) -> None:
    assert {event for begun, event in TRANSITIONS if begun is state} <= NEWS_FROM_OUTSIDE


def test_open_states_are_those_in_which_this_node_has_something_to_do() -> None:
    waits_for_the_archive = {State.DELIVERED}
    busy = {state for state, event in TRANSITIONS if event not in NEWS_FROM_OUTSIDE}
    assert busy - waits_for_the_archive == set(OPEN)
