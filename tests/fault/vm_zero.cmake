# What zeroes pages that nobody may touch is replaced in this program alone.
target_link_options(${test} PRIVATE LINKER:--wrap=pwrite)
