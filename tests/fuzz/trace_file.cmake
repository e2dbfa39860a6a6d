# The reader of recorded traces is part of the benchmarks, which are optional: it is compiled here.
target_sources(${test} PRIVATE
    ${PROJECT_SOURCE_DIR}/bench/replay/trace.c
    ${PROJECT_SOURCE_DIR}/bench/replay/trace_bytes.c
    ${PROJECT_SOURCE_DIR}/bench/replay/trace_pages.c)
target_include_directories(${test} PRIVATE ${PROJECT_SOURCE_DIR}/bench/replay)
