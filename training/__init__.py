"""Training of Cromwell's models in torch; nothing here is needed to run them."""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch on Linux: large pages for its tensors; read when it makes the first
