"""Propose the four contracts of a model from a sample, as the data registry will hold its rows."""

from __future__ import annotations

from ml.core.adoption.proposal import Proposal
from ml.core.data.suite_proposals import ProposedExpectation, propose_predictions, propose_suite, propose_window


def suites(proposal: Proposal) -> dict[str, list[ProposedExpectation]]:
    """Return what is proposed for each suite, by its name."""
    task = proposal.task
    inputs = propose_suite(proposal.inputs, asset="inputs", task=task)
    labels = propose_suite(proposal.labels, asset="labels", task=task)
    return {
        "inputs": inputs,
        "labels": labels,
        "window": propose_window(inputs, labels, task),
        "predictions": propose_predictions(inputs, task),
    }
