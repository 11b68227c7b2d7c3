"""The settlement table, cell by cell."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.policy.settlement import TABLE, Ending, Seen, Settlement, settle
from gateway.usage import Usage

REPORT = Usage(100, output_text=7)
ZERO = Usage(0, output_text=0)
SEEN = Seen(prompt=401, output=40, since_report=0)
LATER = SEEN._replace(since_report=10)
ESTIMATE = Settlement(Usage(101, output_text=10), True)
THINKING = Usage(100, output_text=7, reasoning=50)
THOUGHT = LATER._replace(longest=500)
UNREAD = Seen(401, 0, unread=True)
RESERVED = Settlement(Usage(), True, True)
NOTHING = Settlement(None)

CELLS = [
    # ending, usage that was reported, output went to the client, what passed by, what is charged for
    (Ending.COMPLETE, REPORT, True, SEEN, Settlement(REPORT)),
    (Ending.COMPLETE, REPORT, True, LATER, Settlement(REPORT)),
    (Ending.COMPLETE, ZERO, True, SEEN, Settlement(ZERO)),
    (Ending.COMPLETE, None, True, SEEN, ESTIMATE),
    (Ending.COMPLETE, REPORT, False, SEEN, Settlement(REPORT)),
    (Ending.COMPLETE, Usage(100), True, SEEN, Settlement(Usage(100, output_text=10), True)),
    (Ending.COMPLETE, Usage(100), True, Seen(401, 0), Settlement(Usage(100))),  # vectors
    (Ending.COMPLETE, Usage(output_text=7), True, SEEN, Settlement(Usage(101, output_text=7), True)),
    (Ending.COMPLETE, Usage(), False, SEEN, Settlement(Usage())),
    (Ending.COMPLETE, None, True, SEEN._replace(beside=1000), Settlement(Usage(1101, output_text=10), True)),
    (Ending.COMPLETE, None, True, THOUGHT, ESTIMATE),
    (Ending.COMPLETE, None, True, UNREAD, RESERVED),
    (Ending.COMPLETE, REPORT, True, UNREAD, Settlement(REPORT)),
    (Ending.COMPLETE, Usage(100), True, UNREAD, Settlement(Usage(100), True, True)),
    (Ending.COMPLETE, None, False, Seen(401, 0), Settlement(Usage(101, output_text=0), True)),
    (Ending.CLIENT_GONE, None, False, SEEN, NOTHING),
    (Ending.CLIENT_GONE, REPORT, False, SEEN, NOTHING),
    (Ending.CLIENT_GONE, REPORT, True, SEEN, Settlement(REPORT)),
    (Ending.CLIENT_GONE, REPORT, True, LATER, Settlement(Usage(100, output_text=10), True)),
    (Ending.CLIENT_GONE, None, True, THOUGHT, Settlement(Usage(101, output_text=500), True)),
    (Ending.CLIENT_GONE, REPORT, True, THOUGHT, Settlement(Usage(100, output_text=500), True)),
    (Ending.CLIENT_GONE, REPORT, True, THOUGHT._replace(since_report=0), Settlement(REPORT)),
    (Ending.CLIENT_GONE, THINKING, True, THOUGHT, Settlement(THINKING._replace(output_text=10), True)),
    (Ending.CLIENT_GONE, None, True, UNREAD, RESERVED),
    (Ending.CLIENT_GONE, None, False, UNREAD, NOTHING),
    (Ending.CLIENT_GONE, Usage(100), True, LATER, Settlement(Usage(100, output_text=3), True)),
    (Ending.CLIENT_GONE, ZERO, True, SEEN, Settlement(ZERO)),
    (Ending.CLIENT_GONE, None, True, SEEN, ESTIMATE),
    (Ending.ABANDONED, None, False, Seen(401, 0), Settlement(Usage(101, output_text=0), True)),
    (Ending.ABANDONED, REPORT, False, SEEN, Settlement(REPORT)),
    (Ending.ABANDONED, None, True, SEEN, ESTIMATE),
    (Ending.ABANDONED, REPORT, True, SEEN, Settlement(REPORT)),
    (Ending.PROVIDER_FAILED, None, False, SEEN, NOTHING),
    (Ending.PROVIDER_FAILED, REPORT, False, SEEN, NOTHING),
    (Ending.PROVIDER_FAILED, REPORT, True, SEEN, Settlement(REPORT)),
    (Ending.PROVIDER_FAILED, REPORT, True, LATER, Settlement(Usage(100, output_text=10), True)),
    (Ending.PROVIDER_FAILED, None, True, SEEN, ESTIMATE),
    (Ending.PROVIDER_FAILED, None, True, THOUGHT, ESTIMATE),
]


@pytest.mark.parametrize(("ending", "reported", "output_sent", "seen", "charged"), CELLS)
def test_each_cell_charges_what_it_says(
    ending: Ending, reported: Usage | None, output_sent: bool, seen: Seen, charged: Settlement
) -> None:
    assert settle(ending, reported, seen, output_sent=output_sent) == charged


def test_every_cell_is_in_the_table_and_tested() -> None:
    assert set(TABLE) == set(product(Ending, (True, False), (True, False)))
    assert {(ending, sent, reported is not None) for ending, reported, sent, *_ in CELLS} == set(TABLE)
