"""``python -m looped_lite`` is ``looped-lite``."""

import sys

from .cli import main

sys.exit(main())
