"""List the environment variables that Evergreen reads, for the reference of settings."""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """A variable, what counts without it, and what it does, in Markdown."""

    name: str
    default: str
    purpose: str


OF_MODELS = "`{model}` in it stands for the name of the model; without it the name of a further model is appended."

VARIABLES = (
    Variable("EVERGREEN_HOME", "`var/` of the project", "The folder of everything that Evergreen writes."),
    Variable("EVERGREEN_PARAMS", "`params.yaml` of the project", "The settings of the model at the top."),
    Variable("EVERGREEN_EXPECTATIONS", "`expectations/` of the project", "The suites of the model at the top."),
    Variable("EVERGREEN_MODELS", "`models/` next to the settings", "The folder with a folder for each further model."),
    Variable(
        "EVERGREEN_MODEL",
        "the one at the top, or the only one",
        "The name of the model that a command is about; the option `--model` goes before it.",
    ),
    Variable(
        "EVERGREEN_ENV",
        "no name",
        "The name of this environment, such as `staging`: `params.staging.yaml` is then laid over the settings.",
    ),
    Variable(
        "EVERGREEN_STORAGE",
        "`storage/` of the home",
        f"Where predictions, reports and records are: a folder or an `s3://` address. {OF_MODELS}",
    ),
    Variable(
        "EVERGREEN_REGISTRY",
        "`registry.git` of the home",
        f"The Git repository of the data registry: a folder or any Git URL. {OF_MODELS}",
    ),
    Variable(
        "EVERGREEN_REGISTRY_REMOTE",
        "`registry-remote/` of the home",
        f"The DVC remote of the data registry: a folder or an `s3://` address. {OF_MODELS}",
    ),
    Variable(
        "EVERGREEN_CONNECTION_<NAME>",
        "the connection of Airflow with that name",
        "The SQLAlchemy URL of the database that settings call by that name; letters are capital, and what is neither "
        "letter nor digit is `_`.",
    ),
    Variable("EVERGREEN_CACHE", "`cache/` of the home", f"The folder of files that can be fetched again. {OF_MODELS}"),
    Variable("MLFLOW_TRACKING_URI", "`mlflow/mlflow.db` of the home", "The MLflow server, or its database."),
    Variable(
        "EVERGREEN_MLFLOW_URL", "as `MLFLOW_TRACKING_URI`", "MLflow's address for a browser, where that is another one."
    ),
    Variable(
        "EVERGREEN_DEVELOPMENT",
        "`0`; `1` in the embedded stack",
        "`1` lets a model be registered whose code no commit holds, so that nobody can rebuild it.",
    ),
    Variable(
        "EVERGREEN_CODE_VERSION",
        "the commit of the checkout",
        "The commit that an image was built from, where there is no `.git`.",
    ),
    Variable(
        "EVERGREEN_S3_ADDRESSING",
        "see [s3.md](s3.md)",
        "How a bucket is addressed: `path`, `virtual` or `auto`.",
    ),
    Variable("EVERGREEN_S3_TIMEOUT", "`60`", "After so many seconds an answer of S3 is waited for no longer."),
    Variable(
        "EVERGREEN_WARM_TASKS",
        "`1` in the embedded and the full stack, else `0`",
        "`1` lets the processes of Airflow import libraries once and share them: tasks start faster.",
    ),
    Variable(
        "EVERGREEN_CLUSTER_ADDRESS",
        "none: a cluster of this machine's processors",
        "The Ray cluster of `engine.kind: cluster`, as `ray://HOST:PORT`; its token is in `RAY_AUTH_TOKEN`.",
    ),
    Variable("EVERGREEN_AIRFLOW_PORT", "`8080`", "The port of Airflow in the embedded stack."),
    Variable("EVERGREEN_MLFLOW_PORT", "`5000`", "The port of MLflow in the embedded stack."),
    Variable("EVERGREEN_SERVING_PORT", "`8088`", "The port of predictions on request (`evergreen serve`)."),
    Variable("EVERGREEN_SERVING", "`1`", "`0` lets the embedded stack start without predictions on request."),
    Variable("EVERGREEN_SERVING_HOST", "`127.0.0.1`", "The address at which predictions on request are offered."),
    Variable("EVERGREEN_SERVING_WORKERS", "`1`", "How many processes answer requests behind that port."),
    Variable(
        "EVERGREEN_SERVING_TOKEN",
        "none; the stacks draw one",
        "A token that opens predictions of every model, as those of `evergreen tokens` do.",
    ),
    Variable(
        "EVERGREEN_STREAM_URL",
        "none",
        "The broker of `evergreen consume`, with its password: `kafka[s]://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]"
        "[?mechanism=SCRAM-SHA-512][&idempotence=off]` or `redis[s]://[USER:PASSWORD@]HOST:PORT/0`.",
    ),
    Variable(
        "EVERGREEN_STREAM_INPUTS",
        "`{model}.inputs`",
        "The topic whose messages are predicted. `{model}` in this and in the next three is the name of the model.",
    ),
    Variable("EVERGREEN_STREAM_PREDICTIONS", "`{model}.predictions`", "The topic that predictions are written to."),
    Variable(
        "EVERGREEN_STREAM_REJECTED",
        "`{model}.rejected`",
        "The topic that messages are written to that cannot be predicted, each with its reason.",
    ),
    Variable("EVERGREEN_STREAM_GROUP", "`evergreen-{model}`", "The consumer group; its members share the messages."),
    Variable(
        "EVERGREEN_STREAM_PORT", "`8087`", "The port of `evergreen consume` for `/live`, `/ready` and `/metrics`."
    ),
    Variable("EVERGREEN_STREAM_HOST", "`127.0.0.1`", "The address of that port."),
    Variable(
        "EVERGREEN_METRICS_TOKEN",
        "none",
        "The token that a scraper of `evergreen metrics --serve` shows; needed at another address than 127.0.0.1.",
    ),
    Variable("EVERGREEN_SMTP_PORT", "`1025`", "The port of the catch-all mail server in the embedded stack."),
    Variable(
        "EVERGREEN_START_SECONDS",
        "`180`",
        "After so many seconds without progress, a start of the embedded stack is given up.",
    ),
    Variable(
        "EVERGREEN_DEMO_DAYS",
        "`30`; `0` in `make demo`",
        "So many past days happen before the newest one at the first `make up` of the demo's data; `0` for none.",
    ),
    Variable("EVERGREEN_DEMO_TIMEOUT", "`900`", "After so many seconds `evergreen demo` is given up."),
)
