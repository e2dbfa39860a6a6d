target_sources(${test} PRIVATE fuzz/support/probe.c)
