"""Turn ``params.yaml`` and the environment into frozen, checked objects, once and early.

What changes a result lives in ``params.yaml`` (`Settings`); what only changes where things happen
lives in the environment (`Environment`). Nothing here is read at import time.
"""

from ml.settings.data import (
    SOURCES,
    UNITS,
    WEEKDAYS,
    Complete,
    Labels,
    Land,
    Replay,
    Screen,
    Source,
    SourceSettings,
    TimePart,
    TypeName,
    Types,
    Weekday,
)
from ml.settings.databases import Database, connection_variable, is_url
from ml.settings.environment import Environment
from ml.settings.file import Settings, dump, load, load_model, overlaid, overlay_path, parse, read, resolve
from ml.settings.gate import METRICS, RULES, Cut, Gate, Measure, Rule, RuleSettings
from ml.settings.loaded import LoadedModel, LoadedModels, load_models
from ml.settings.models import PROJECT_ROOT, ConfiguredModel, configured_models, find_model
from ml.settings.operation import DRIFT_METHODS, Distance, Drift, Methods, Performance, Retrain, Rollback, Score, Sink
from ml.settings.running import CHANNELS, MailKind, Notify, Schedule, channel_names
from ml.settings.section import Name, S, Section, Share, Term, of_kind
from ml.settings.serving import Serving
from ml.settings.task import Label, Task
from ml.settings.training import (
    NEVER_TRUSTED,
    Features,
    Fit,
    HistoryFeature,
    Intervals,
    Pull,
    PythonFeature,
    SampleWeight,
    Span,
    Split,
    Tune,
)

__all__ = [
    "CHANNELS",
    "DRIFT_METHODS",
    "METRICS",
    "NEVER_TRUSTED",
    "PROJECT_ROOT",
    "RULES",
    "SOURCES",
    "UNITS",
    "WEEKDAYS",
    "Complete",
    "ConfiguredModel",
    "Cut",
    "Database",
    "Distance",
    "Drift",
    "Environment",
    "Features",
    "Fit",
    "Gate",
    "HistoryFeature",
    "Intervals",
    "Label",
    "Labels",
    "Land",
    "LoadedModel",
    "LoadedModels",
    "MailKind",
    "Measure",
    "Methods",
    "Name",
    "Notify",
    "Performance",
    "Pull",
    "PythonFeature",
    "Replay",
    "Retrain",
    "Rollback",
    "Rule",
    "RuleSettings",
    "S",
    "SampleWeight",
    "Schedule",
    "Score",
    "Screen",
    "Section",
    "Serving",
    "Settings",
    "Share",
    "Sink",
    "Source",
    "SourceSettings",
    "Span",
    "Split",
    "Task",
    "Term",
    "TimePart",
    "Tune",
    "TypeName",
    "Types",
    "Weekday",
    "channel_names",
    "configured_models",
    "connection_variable",
    "dump",
    "find_model",
    "is_url",
    "load",
    "load_model",
    "load_models",
    "of_kind",
    "overlaid",
    "overlay_path",
    "parse",
    "read",
    "resolve",
]
