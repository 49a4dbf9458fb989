"""The state machine, against the table of the design typed a second time."""

import pytest

from storage.states import OPEN, TRANSITIONS, Event, State, origins, target

DESIGN = [
    ("queued", "claim", "running"),
    ("running", "succeed", "done"),
    ("running", "reject", "rejected"),
    ("running", "retry_later", "queued"),
    ("running", "give_up", "failed"),
    ("running", "lease_expired", "queued"),
    ("running", "lease_expired_for_good", "failed"),
    ("failed", "operator_retries", "queued"),
    ("rejected", "operator_retries", "queued"),
]


def test_the_transitions_are_those_of_the_design_and_no_others() -> None:
    assert sorted((str(state), str(event), str(to)) for (state, event), to in TRANSITIONS.items()) == sorted(
        DESIGN
    )


@pytest.mark.parametrize("event", list(Event))
def test_an_event_leads_to_one_state_wherever_it_happens(event: Event) -> None:
    assert {TRANSITIONS[state, event] for state in origins(event)} == {target(event)}


def test_done_is_the_end() -> None:
    assert not [event for state, event in TRANSITIONS if state is State.DONE]


def test_open_states_are_those_that_still_lead_to_an_end_without_a_person() -> None:
    by_a_person = {Event.OPERATOR_RETRIES}
    assert {state for state, event in TRANSITIONS if event not in by_a_person} == set(OPEN)
