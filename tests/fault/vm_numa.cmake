target_sources(${test} PRIVATE fault/vm/facts.c fuzz/support/probe.c)
