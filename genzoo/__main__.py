"""`python -m genzoo`, the same as `genzoo`."""

import sys

if __name__ == "__main__":
    from zoo_scripts.main import main

    sys.exit(main())
