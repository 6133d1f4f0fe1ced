"""`comfy-relay serve` with its log in a file: a terminal or a pipe to us would be part of what is measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from app.cli import main

if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stderr.fileno())
    main(["serve", "--port", "0"])
