"""Entry point of `python -m nestvec`, with which launchers such as torchrun start nestvec."""

from nestvec.cli import main

main()
