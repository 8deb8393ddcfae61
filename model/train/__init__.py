"""How the house model is made: `python -m model.train COMMAND`, see README.md."""

import os

# Read when torch is loaded: threads that wait must sleep, or a training at low priority
# burns its share of a crowded machine in spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
