"""Where the code lies, and where the project is that it works on; the same in a checkout."""

from __future__ import annotations

from pathlib import Path

CODE_ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds the package ``ml``."""

IS_INSTALLED = CODE_ROOT.name in {"site-packages", "dist-packages"}
"""Whether this is an installed package (of a wheel), not a checkout."""

PROJECT_ROOT = Path.cwd() if IS_INSTALLED else CODE_ROOT
"""The folder of ``params.yaml``, ``expectations/`` and ``var/`` unless the environment says otherwise."""
