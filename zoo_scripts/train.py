"""`genzoo train` as a script: python zoo_scripts/train.py --help"""

import sys

from genzoo.commands import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
