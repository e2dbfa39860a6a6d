# Files below its root are in memory.
target_link_options(${test} PRIVATE LINKER:--wrap=open)
