target_link_libraries(${test} PRIVATE PkgConfig::jemalloc)
