"`python -m biggan_colorize` is the command `biggan-colorize`, for launchers such as `torchrun` that start a module."
from biggan_colorize.cli import app

if __name__ == "__main__": app()
