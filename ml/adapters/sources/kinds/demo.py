"""Settings of the demo source."""

from __future__ import annotations

from typing import ClassVar, Literal

from ml.adapters.sources import Source, SourceKind


class DemoSource(SourceKind):
    """The flights of New York in 2013, as today's (``replay``) or as their own days."""

    unit: ClassVar[str] = "flights"

    kind: Literal["demo"]
    replay: bool = True
    """Whether the flights of 2013 are shown as if they were today's, for ever; false for their own days."""

    def open(self) -> Source:
        from ml.adapters.sources import demo

        return demo.DemoSource(replay=self.replay)

    def of_history(self) -> DemoSource:
        return self.model_copy(update={"replay": False})

    def caveats(self) -> tuple[str, ...]:
        replayed = ", shown as if they were now" if self.replay else ""
        return (f"All of its data are flights of 2013{replayed}: nothing here speaks of any other year.",)


SOURCE = DemoSource
