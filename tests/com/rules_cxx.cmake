# The header promises C++11. An object from C has no type information for UBSan to look at.
set_target_properties(${test} PROPERTIES CXX_STANDARD 11)
target_compile_options(${test} PRIVATE -fno-sanitize=vptr)
