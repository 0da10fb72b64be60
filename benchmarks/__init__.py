"""Speed, memory, and what operations ask of AWS: `make bench`. Speed is a ratio against a named
baseline of the same run.
"""
