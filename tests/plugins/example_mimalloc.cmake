target_link_libraries(${test} PRIVATE ${mimalloc_library})
