"""`genzoo sample` as a script: python zoo_scripts/sample.py --help"""

import sys

from genzoo.commands import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
