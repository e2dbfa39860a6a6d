# An input is some hundred calls, each followed by a look at every page it may have touched.
target_compile_definitions(${test} PRIVATE INPUT_COUNT=100)
