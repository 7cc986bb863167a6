"""`python -m pyrunc.serve` is `runciter`."""
import sys

from .command import main

sys.exit(main())
