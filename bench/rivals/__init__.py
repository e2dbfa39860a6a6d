# SPDX-License-Identifier: MIT
"""Rows with rivals, each contender in a process of its own."""
