"""`python -m bankmlops` is the `bankmlops` command."""

from bankmlops.cli import main

if __name__ == "__main__":
    main()
