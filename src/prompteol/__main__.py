"""Run the command line as ``python -m prompteol``."""

from prompteol.cli import main

main()
