"""`python -m rdmf_cli` is `rdmf`."""

from rdmf_cli.main import run

if __name__ == "__main__":
    run()
