#!/usr/bin/env python3
"""Launcher: runs the gateway from a checkout, without installing it."""

from gateway.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
