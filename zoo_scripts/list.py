"""`genzoo list` as a script: python zoo_scripts/list.py --help"""

import sys

from genzoo.commands import main

if __name__ == "__main__":
    sys.exit(main(["list", *sys.argv[1:]]))
