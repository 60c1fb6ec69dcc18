"""List the subcommands of ``evergreen``: where each is, and one line about it.

A separate package adds one by an entry point of the group ``evergreen.commands`` that names a function
``main(argv: list[str]) -> int``; the first line of its docstring becomes its line in ``evergreen --help``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from ml.errors import SettingsError

GROUP = "evergreen.commands"
Main = Callable[[list[str]], int]


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes
    ----------
    target
        ``package.module:function``, imported only when the command is run.
    arguments
        Put before what the user typed.
    needs_stack
        Whether it talks to the running stack, so that it needs the stack's environment.
    """

    name: str
    summary: str
    target: str
    arguments: tuple[str, ...] = ()
    needs_stack: bool = True

    def load(self) -> Main:
        """Import the function.

        Raises
        ------
        SettingsError
            If a package that announces the command cannot be imported.
        """
        try:
            main: Main = EntryPoint(self.name, self.target, GROUP).load()
        except (ImportError, AttributeError) as err:
            raise SettingsError(
                f"evergreen {self.name}: {self.target} cannot be imported ({err}); install its package again, "
                "or remove it"
            ) from err
        return main


BUILT_IN = (
    Command("up", "Start all of Evergreen in the foreground; Ctrl-C stops it", "embedded.up:main", needs_stack=False),
    Command("demo", "Run one whole loop, print a summary, stop", "embedded.up:main", ("--until-done",), False),
    Command("setup", "Prepare var/ and land the history, without servers", "embedded.setup:main", needs_stack=False),
    Command("clean", "Remove var/: data, models, Airflow's database", "embedded.clean:main", needs_stack=False),
    Command("run", "Run any command in the environment of the stack, such as airflow", "embedded.run:main"),
    Command("models", "List the models, who serves, how new their data are", "ml.cli.models:main"),
    Command("settings", "Print the settings of a model as they count", "ml.cli.show_settings:main"),
    Command("adopt", "Make a model of a table: settings and contracts, with reasons", "ml.cli.adopt:main"),
    Command("add", "Add a model: a folder with settings copied from another's", "ml.cli.add_model:main"),
    Command("seed", "Land a period of history in the data registry", "ml.steps.ingest.seed:main"),
    Command("export", "Write published predictions to the database of score.sink again", "ml.steps.score.export:main"),
    Command("withdraw", "Take a bad day out of the data registry", "ml.cli.withdraw:main"),
    Command("labels", "Show the labels in doubt, or let them in", "ml.cli.labels:main"),
    Command("exclude", "Mark days as not to be learned from, or let them count again", "ml.steps.exclude:main"),
    Command("recover", "Bring a damaged data registry back to its newest whole version", "ml.cli.recover:main"),
    Command("doctor", "List what storage and MLflow disagree about, and lead out of it", "ml.cli.doctor:main"),
    Command("rename", "Let registry and storage belong to a task of another name", "ml.cli.rename:main"),
    Command("schema", "Show the types of columns, or change one on purpose", "ml.cli.schema:main"),
    Command("champion", "Show which model version serves, and its metrics", "ml.cli.champion:main"),
    Command("history", "Show who served, since when, why, on what evidence", "ml.cli.history:main"),
    Command("rollback", "Let an earlier champion serve again", "ml.steps.rollback:main"),
    Command("serve", "Answer requests for predictions over HTTP", "ml.cli.serve:main"),
    Command("consume", "Predict what comes in by a topic of Kafka or a stream of Redis", "ml.cli.consume:main"),
    Command("traffic", "Show, stop, resume or judge a challenger's share of requests", "ml.cli.traffic:main"),
    Command("tokens", "Draw, list and revoke tokens for predictions on request", "ml.cli.tokens:main"),
    Command("acknowledge", "Say that you know of an alarm, with a note", "ml.steps.note:main", ("acknowledgement",)),
    Command(
        "snooze", "Keep mails of an alarm back until a day, unless it gets worse", "ml.steps.note:main", ("snooze",)
    ),
    Command("comment", "Write a note beside a decision", "ml.steps.note:main", ("comment",)),
    Command("metrics", "Print the loop's figures for Prometheus, or serve them", "ml.cli.metrics:main"),
    Command("notify", "Send a test alert by each channel of a model", "evergreen.alerts.send_test:main"),
    Command("reproduce", "Rebuild a model version from its lineage and compare", "ml.cli.reproduce:main"),
    Command("replay", "Let past days happen one after the other, without Airflow", "ml.cli.replay:main"),
    Command("backtest", "Replay a period under several policies and compare them", "ml.backtest.backtest:main"),
    Command("contracts", "Propose expectations from the data, and test what they find", "ml.cli.contracts:main"),
    Command("roles", "Propose which columns are structural for drift", "ml.cli.propose_roles:main"),
    Command("completion", "Print the shell code that completes this command", "ml.cli.completion:main", (), False),
)


def every() -> dict[str, Command]:
    """Return all subcommands by name: the built-in ones, then those of other packages.

    Raises
    ------
    SettingsError
        If a package announces a name that is taken.
    """
    commands = {command.name: command for command in BUILT_IN}
    for point in _announced():
        if point.name in commands:
            raise SettingsError(
                f"the package {_package(point)} announces the command {point.name!r}, which exists already; "
                "rename it there, or uninstall the package"
            )
        commands[point.name] = Command(point.name, f"(of {_package(point)})", point.value)
    return commands


def _announced() -> Iterable[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
