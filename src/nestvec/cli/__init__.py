"""The command line: each command parses its options, calls one function and prints the result.

On an error, a command prints one message and ends with an exit code. Heavy libraries are imported by the functions that
the commands call, so that `--help` stays quick.
"""

from nestvec.cli import measuring  # first: `--help` lists the commands in the order of these imports

# isort: split
from nestvec.cli import tuning

# isort: split
from nestvec.cli import delivering

# isort: split
from nestvec.cli import finished

# isort: split
from nestvec.cli import serving
from nestvec.cli.app import app, main

__all__ = ["app", "delivering", "finished", "main", "measuring", "serving", "tuning"]
