"""`python -m wharfinger` is `wharfinger`."""

from wharfinger.cli import main

main()
