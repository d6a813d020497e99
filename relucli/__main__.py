"""``python -m relucli``: the command, by the interpreter that has it."""

from relucli.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
