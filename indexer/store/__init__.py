"""Where vectors and the facts about them are kept."""

import os

# LanceDB reads this once, when it is first imported; its warnings are about its own inner workings.
os.environ.setdefault("LANCEDB_LOG", "error")
