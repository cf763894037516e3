"""`python -m mmgraph`, the same as the command `mmgraph`."""

import sys

from mmgraph.cli import main

if __name__ == "__main__":
    sys.exit(main())
