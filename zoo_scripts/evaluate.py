"""`genzoo evaluate` as a script: python zoo_scripts/evaluate.py --help"""

import sys

from genzoo.commands import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
