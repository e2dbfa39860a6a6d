# The table of results in HOSTING.md is what this program prints.
add_test(NAME com_results_document COMMAND ${CMAKE_COMMAND}
    -D PROGRAM=$<TARGET_FILE:${test}>
    -D DOCUMENT=${PROJECT_SOURCE_DIR}/HOSTING.md
    -P ${CMAKE_CURRENT_SOURCE_DIR}/com/support/compare_table.cmake)
set_tests_properties(com_results_document PROPERTIES LABELS com TIMEOUT ${hang})
