"""What a request is charged for: a table over how it ended and what is known of its usage.

| how it ended                            | charged for                                                        |
|-----------------------------------------|--------------------------------------------------------------------|
| complete, usage reported (zeros too)    | the usage as reported                                              |
| complete, nothing reported              | an estimate, of what was not reported                              |
| client gone before the first output     | nothing                                                            |
| client gone before it, but the provider | the usage as reported, else an estimate of the prompt; with        |
| had been asked                          | billing.aborted = "free" it is the row above                       |
| client gone after it, usage reported    | the usage so far, and an estimate of the output seen since         |
| client gone after it, nothing reported  | an estimate: of the prompt, and of the output seen                 |
| client gone after it, and the model may | as above, but of the output no less than the longest answer that   |
| have thought unseen, not reported       | the request allows: what was thought, nobody can know              |
| answer passed on unread (too long, of   | everything that was reserved, unless usage was found at its ends   |
| another type), however it ended         |                                                                    |
| provider failed before the first output | nothing, whatever was reported                                     |
| whole answer that says it failed, with  | the usage as reported                                              |
| output and usage in it                  |                                                                    |
| provider failed after it                | as if the client had gone                                          |
| answer undelivered: store unavailable   | nothing                                                            |
| attempt that another one followed       | nothing; only the answer that reached the client is charged for,   |
|                                         | at the price of the model that gave it, dearer or not              |

An estimate takes four bytes for a token, and what the reservation has for input that the request only refers to (links,
files, earlier answers). It is marked in the ledger, is rather too high than nothing where nobody can know, and never
costs more than what was reserved.

The last two rows are no rows of the table below: whoever has no answer to give does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from gateway.usage import Usage, tokens_of


class Ending(Enum):
    COMPLETE = "complete"
    CLIENT_GONE = "client gone"
    ABANDONED = "client gone before the answer"
    PROVIDER_FAILED = "provider failed"


class Basis(Enum):
    """What a charge goes by."""

    NOTHING = "nothing"
    REPORT = "report"
    REPORT_AND_SEEN = "report and seen"
    ESTIMATE = "estimate"


TABLE: Mapping[tuple[Ending, bool, bool], Basis] = {
    # how it ended, whether output went to the client, whether usage was reported
    (Ending.COMPLETE, True, True): Basis.REPORT,
    (Ending.COMPLETE, True, False): Basis.ESTIMATE,
    (Ending.COMPLETE, False, True): Basis.REPORT,  # an answer without output, such as vectors
    (Ending.COMPLETE, False, False): Basis.ESTIMATE,
    (Ending.CLIENT_GONE, True, True): Basis.REPORT_AND_SEEN,
    (Ending.CLIENT_GONE, True, False): Basis.ESTIMATE,
    (Ending.CLIENT_GONE, False, True): Basis.NOTHING,
    (Ending.CLIENT_GONE, False, False): Basis.NOTHING,
    (Ending.ABANDONED, True, True): Basis.REPORT_AND_SEEN,
    (Ending.ABANDONED, True, False): Basis.ESTIMATE,
    (Ending.ABANDONED, False, True): Basis.REPORT,
    (Ending.ABANDONED, False, False): Basis.ESTIMATE,
    (Ending.PROVIDER_FAILED, True, True): Basis.REPORT_AND_SEEN,
    (Ending.PROVIDER_FAILED, True, False): Basis.ESTIMATE,
    (Ending.PROVIDER_FAILED, False, True): Basis.NOTHING,
    (Ending.PROVIDER_FAILED, False, False): Basis.NOTHING,
}


class Seen(NamedTuple):
    """What passed by: bytes of the prompt, of output text in all, and of that after the last report of usage.

    `beside` are tokens of input that are not among the prompt's bytes. `longest` are tokens of the longest answer where
    the model may think unseen, elsewhere 0. `unread`: nobody has looked at the answer."""

    prompt: int
    output: int
    since_report: int = 0
    beside: int = 0
    longest: int = 0
    unread: bool = False


class Settlement(NamedTuple):
    """What is charged for. None: nothing. `estimated`: not all of it was reported. `reserved`: whatever that is, it
    costs what was reserved."""

    usage: Usage | None
    estimated: bool = False
    reserved: bool = False


def settle(ending: Ending, reported: Usage | None, seen: Seen, *, output_sent: bool) -> Settlement:
    """By the table. A report in which everything is zero is a report."""
    basis = TABLE[ending, output_sent, reported is not None]
    if basis is Basis.NOTHING:
        return Settlement(None)
    longest = seen.longest if ending is Ending.CLIENT_GONE else 0
    if basis is Basis.ESTIMATE or reported is None:
        if seen.unread:
            return Settlement(Usage(), True, True)
        text = max(tokens_of(seen.output), longest)
        return Settlement(Usage(tokens_of(seen.prompt) + seen.beside, output_text=text), True)
    if basis is Basis.REPORT:
        return _completed(reported, seen)
    if not seen.since_report:
        return Settlement(reported)
    text = (reported.output_text or 0) + tokens_of(seen.since_report)
    if reported.reasoning is None:
        text = max(text, longest)
    return Settlement(reported._replace(output_text=text), True)


def _completed(reported: Usage, seen: Seen) -> Settlement:
    """A report, and an estimate of the side of which it says nothing at all."""
    if (reported.input and reported.output) or reported == Usage():  # the request alone has a price
        return Settlement(reported)
    r = reported
    ins = (r.input_uncached, r.cache_read, r.cache_write_5m, r.cache_write_1h, r.input_audio, r.input_image)
    outs = (r.output_text, r.reasoning, r.output_audio, r.output_image)
    if set(outs) == {None} and seen.unread:
        return Settlement(reported, True, True)
    if set(outs) == {None} and seen.output:
        reported = reported._replace(output_text=tokens_of(seen.output))
    if set(ins) == {None}:
        reported = reported._replace(input_uncached=tokens_of(seen.prompt) + seen.beside)
    return Settlement(reported, reported != r)
