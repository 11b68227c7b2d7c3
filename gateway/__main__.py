"""`python3 -m gateway`: the same program as the installed `llmgateway`."""

from gateway.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
