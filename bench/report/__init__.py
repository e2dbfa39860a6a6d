# SPDX-License-Identifier: MIT
"""What bench/run makes of the programs' results."""
