# An input is some hundred calls, each followed by a count of all that the heaps hold.
target_compile_definitions(${test} PRIVATE INPUT_COUNT=200)
