# The file that is mapped is in memory, and has no path.
target_link_options(${test} PRIVATE LINKER:--wrap=open)
