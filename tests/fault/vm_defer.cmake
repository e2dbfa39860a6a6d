# Whether memory can be kept is asked as in the unit tests.
target_sources(${test} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/support/keeps.c)
target_include_directories(${test} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit)
