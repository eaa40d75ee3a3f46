"""`python -m nestvec`, so that launchers such as torchrun can start it."""

from nestvec.cli import main

main()
