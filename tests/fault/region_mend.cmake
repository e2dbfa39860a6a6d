# What the dead leave is made as in the unit tests.
target_sources(${test} PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/support/dead.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/support/regions.c
    ${CMAKE_CURRENT_SOURCE_DIR}/unit/support/touch.c)
target_include_directories(${test} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
