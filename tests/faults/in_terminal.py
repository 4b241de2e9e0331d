"""Wharfinger's own command line, in the terminal that it was given as its controlling one."""

from __future__ import annotations

import fcntl
import sys
import termios

from wharfinger.cli import main

if __name__ == "__main__":
    fcntl.ioctl(sys.stdin.fileno(), termios.TIOCSCTTY, 0)
    main()
