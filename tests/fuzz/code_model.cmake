# An input is some hundred calls, each followed by a look at both views of every block.
target_compile_definitions(${test} PRIVATE INPUT_COUNT=100)
