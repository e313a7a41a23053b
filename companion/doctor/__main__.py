"""`python -m companion.doctor`: see `companion.doctor.command_line`."""

import sys

from companion.doctor.command_line import main

if __name__ == "__main__":
    sys.exit(main())
