"""Dataset plug-ins, one file each. See `base.py` for what a plug-in defines."""
