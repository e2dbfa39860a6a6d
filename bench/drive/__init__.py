# SPDX-License-Identifier: MIT
"""How bench/run finds the programs, runs them and packs them up."""
