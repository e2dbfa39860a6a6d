# The header promises C++11.
set_target_properties(${test} PROPERTIES CXX_STANDARD 11)
