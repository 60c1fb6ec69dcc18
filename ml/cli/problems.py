"""What is inconsistent between the storage's claims, MLflow's decisions, aliases and models, and the repair of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ml.adapters.champion_changes import DOCTOR
from ml.champions import lost_history, promotion_protocol, recorded_models, serving_state, unrecorded, withdrawal
from ml.cli import mark_problems, recover
from ml.errors import EvergreenError
from ml.wiring import Services

RECOVER = "evergreen recover --repair"
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """What is inconsistent, what a repair would do, and the repair itself.

    Attributes
    ----------
    repair
        None if no repair of ours leads out.
    by
        What leads out then.
    unreadable
        Whether this is about a part that could not be looked at.
    """

    summary: str
    remedy: str
    repair: Callable[[], object] | None = None
    by: str = ""
    unreadable: bool = False


@dataclass
class Examination:
    """Look at one part after the other, and go on after a part that cannot be read."""

    problems: list[Problem] = field(default_factory=list)

    def look_at(self, part: str, look: Callable[[], T]) -> T | None:
        """Return what ``look`` gives; None if the part cannot be read, which then is a problem of its own."""
        try:
            return look()
        except EvergreenError as err:
            remedy = "bring it back, then look again; what depends on it was not looked at"
            reported = [problem for problem in self.problems if problem.unreadable and str(err) in problem.summary]
            if not reported:  # one server that is down keeps several parts from being read
                summary = f"{part} cannot be read: {err}"
                self.problems.append(Problem(summary, remedy, by="by hand", unreadable=True))
            return None

    def note(self, part: str, look: Callable[[], Problem | None]) -> Problem | None:
        """Keep the problem of a part, if it has one."""
        problem = self.look_at(part, look)
        if problem is not None:
            self.problems.append(problem)
        return problem


def find(services: Services) -> list[Problem]:
    """Find all that is inconsistent, and change nothing; what is first is repaired first."""
    examination = Examination()
    registry = examination.note("the data registry", lambda: _registry(services))
    examination.look_at("the storage", lambda: services.storage)
    examination.note("MLflow's experiments", lambda: _experiments(services))
    serving = examination.look_at("MLflow's decisions", lambda: serving_state.read_serving(services))
    if serving is None:
        return examination.problems
    damaged = examination.note("the records of models", lambda: _damaged(services))
    recorded = examination.look_at("the storage's records", lambda: _unrecorded(serving, services))
    if recorded is None:
        return examination.problems
    problem, state = recorded
    examination.problems += [problem] if problem else []
    examination.note("the earlier decisions", lambda: _lost_history(state, services))
    moving = examination.note("the newest decision", lambda: _unfinished(state, services))
    moving = examination.note("the claims", lambda: _claim(state, services)) or moving
    if damaged is None:
        examination.note("the champion's model", lambda: _champion(state, services))
    if moving is None:  # else its repair moves them
        examination.note("the aliases", lambda: _aliases(state, services))
    if registry is None:  # it holds them
        examination.note("the excluded days", lambda: _excluded_days(services))
    return examination.problems


def _excluded_days(services: Services) -> Problem | None:
    undecided = mark_problems.undecided(services)
    return None if undecided is None else Problem(*undecided)


def _experiments(services: Services) -> Problem | None:
    deleted = services.tracking.deleted_experiments()
    if not deleted:
        return None
    summary = f"MLflow's experiments {', '.join(deleted)} were deleted"
    return Problem(summary, "restore them", services.tracking.restore_experiments)


def _damaged(services: Services) -> Problem | None:
    """Look for records of models that cannot be read: they keep a whole model from serving."""
    names = recorded_models.damaged(services)
    if not names:
        return None

    def quarantine() -> None:
        for name in names:
            services.journal.quarantine(name)

    return Problem(
        f"{', '.join(services.storage.uri(name) for name in names)}: damaged",
        "move them away, under damaged/; what the claims hold of them is written again",
        quarantine,
    )


def _lost_history(state: serving_state.ServingState, services: Services) -> Problem | None:
    """Look for earlier changes of the champion that the storage's claims hold and MLflow has lost."""
    lost = lost_history.changes(state, services)
    if not lost:
        return None
    return Problem(
        f"MLflow has lost the records of earlier decisions: {', '.join(repr(change.key) for change in lost)}",
        "restore them, or write them again from the storage; who serves does not change by it",
        lambda: lost_history.bring_back(lost, services),
    )


def _champion(state: serving_state.ServingState, services: Services) -> Problem | None:
    if state.tenure is None:
        return None
    problem = withdrawal.cannot_serve(state.tenure, services)
    if problem is None:
        return None
    return Problem(
        problem,
        "withdraw it: the champion before it serves again if it can, else nobody until a challenger is promoted",
        lambda: withdrawal.champion(state, problem, services, requested_by="doctor"),
    )


def _aliases(state: serving_state.ServingState, services: Services) -> Problem | None:
    wrong = promotion_protocol.misplaced_aliases(state, services)
    if not wrong:
        return None
    targets = ", ".join(f"{name} to {'nowhere' if to is None else f'version {to}'}" for name, to in wrong.items())
    return Problem(
        f"aliases are not where the decisions say: {', '.join(wrong)}",
        f"move {targets}",
        lambda: promotion_protocol.fix_aliases(services),
    )


def _unrecorded(
    state: serving_state.ServingState, services: Services
) -> tuple[Problem | None, serving_state.ServingState]:
    """Look for changes of the champion that only MLflow holds; give the serving state without those, too."""
    entries = unrecorded.changes(state, services)
    if not entries:
        return None, state
    description = unrecorded.in_words(entries, services)
    if claimed := unrecorded.rebuildable(entries, services):
        problem = Problem(
            f"the storage lost its records of {description}, and holds their claims",
            "write the records again from the claims",
            lambda: unrecorded.rebuild(claimed, services),
        )
        return problem, state
    problem = Problem(
        f"the storage is older than MLflow, or somebody forged a decision: it does not record {description}",
        "leave these decisions out: the newest promotion that the storage records serves again, or nobody until a "
        f"challenger is promoted; if you vouch for a version as named here, run '{DOCTOR} --adopt N', now or later",
        lambda: unrecorded.leave_out(entries, state, services),
    )
    return problem, unrecorded.without(entries, state)


def _unfinished(state: serving_state.ServingState, services: Services) -> Problem | None:
    """Look at the newest decision's record in MLflow."""
    if state.last is None or state.last.finished:
        return None
    return Problem(
        f"the record of '{state.last.key}' is deleted, lost or not closed in MLflow, though its version serves",
        "restore it, or write it again from the storage",
        lambda: promotion_protocol.reconcile(services, strict=False),
    )


def _claim(state: serving_state.ServingState, services: Services) -> Problem | None:
    """Look at the claim that waits after the newest decision."""
    if not services.tracking.has_book():
        return None  # to look makes nothing
    name = services.journal.slot(services.tracking.book(), serving_state.after(state))
    where = services.storage.uri(name)
    try:
        change = promotion_protocol.claimed(state, services)
    except EvergreenError as err:
        if err.retryable:
            raise
        return Problem(f"{where} is damaged", "move it away, under damaged/", lambda: services.journal.quarantine(name))
    if change is None:
        return None
    try:
        promotion_protocol.check_model(change, services)
    except EvergreenError as err:
        if err.retryable:
            raise
        reason = str(err)
        return Problem(
            f"'{change.key}' was claimed ({where}), and cannot be carried out: {reason}",
            "withdraw that claim: what it was about is judged again",
            lambda: services.journal.withdraw(name, reason),
        )
    return Problem(
        f"'{change.key}' was claimed, and is not carried out",
        "carry it out",
        lambda: promotion_protocol.reconcile(services, strict=False),
    )


def _registry(services: Services) -> Problem | None:
    """Look whether the data registry can be read; to bring it back is another command's work."""
    try:
        damage = recover.run(services=services)["damage"]
    except EvergreenError as err:
        if err.retryable:
            raise
        return Problem(str(err), "do what it says, or restore the data registry from a backup", by="by hand")
    return None if damage is None else Problem(damage, "bring its newest whole version back", by=RECOVER)
