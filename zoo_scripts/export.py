"""`genzoo export` as a script: python zoo_scripts/export.py --help"""

import sys

from genzoo.commands import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
