# Unlocking is replaced in this program alone.
target_link_options(${test} PRIVATE LINKER:--wrap=munlock)
target_sources(${test} PRIVATE fault/vm/facts.c fuzz/support/probe.c)
