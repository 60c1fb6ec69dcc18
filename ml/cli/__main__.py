"""Run ``python -m ml.cli`` as ``evergreen``."""

import sys

from ml.cli.main import main

sys.exit(main())
