# SPDX-License-Identifier: MIT
# Each program, unmodified, under the engine: README.md beside this says how it is built.
file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(file IN LISTS programs)
    cmake_path(GET file STEM name)
    set(test model_programs_${name})
    add_executable(${test} ${file})
    target_compile_definitions(${test} PRIVATE main=model_main)
    target_compile_options(${test} PRIVATE
        -UNDEBUG -O1 -fno-builtin -fsanitize=thread)
    set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "-Wno-missing-prototypes;-Wno-unused")
    target_link_options(${test} PRIVATE -nodefaultlibs)
    target_link_libraries(${test} PRIVATE moat_build model_engine -lc -lgcc)
    add_dependencies(model ${test})
    add_test(NAME ${test} COMMAND ${test})
    set_tests_properties(${test} PROPERTIES LABELS model TIMEOUT ${hang})
endforeach()
