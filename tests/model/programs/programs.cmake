# SPDX-License-Identifier: MIT
# Each program, unmodified, under the engine: README.md beside this says how it is built.

function(model_program test file)
    add_executable(${test} ${file})
    target_compile_definitions(${test} PRIVATE main=model_main)
    target_compile_options(${test} PRIVATE -UNDEBUG -O1 -fno-builtin -fsanitize=thread)
    set_source_files_properties(${file} PROPERTIES
        COMPILE_OPTIONS "-Wno-missing-prototypes;-Wno-unused")
    target_link_options(${test} PRIVATE -nodefaultlibs)
    target_link_libraries(${test} PRIVATE moat_build model_engine -lc -lgcc)
    add_dependencies(model ${test})
    add_test(NAME ${test} COMMAND ${test})
    set_tests_properties(${test} PROPERTIES LABELS model TIMEOUT ${hang})
endfunction()

file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
foreach(file IN LISTS programs)
    cmake_path(GET file STEM name)
    model_program(model_programs_${name} ${file})
endforeach()

# The engine must find a missing order in the very code: here all acquiring loads, or all updates,
# are relaxed, and whoever finds a page reads a record that nobody has shown him.
file(READ ${PROJECT_SOURCE_DIR}/src/lockfree/atomic.h atomic)
string(REPLACE "memory_order_acquire);" "memory_order_relaxed);" loads "${atomic}")
string(REGEX REPLACE "memory_order_acq_rel,[ \n]*memory_order_acquire"
    "memory_order_relaxed, memory_order_relaxed" updates "${atomic}")
string(REPLACE memory_order_acq_rel memory_order_relaxed updates "${updates}")
file(GLOB sources ${PROJECT_SOURCE_DIR}/src/lockfree/*.[ch])
foreach(relaxed IN ITEMS loads updates)
    set(copy ${CMAKE_CURRENT_BINARY_DIR}/relaxed_${relaxed})
    file(COPY ${sources} DESTINATION ${copy}/lockfree)
    file(WRITE ${copy}/lockfree/atomic.h "${${relaxed}}")
    model_program(model_relaxed_${relaxed} ${CMAKE_CURRENT_LIST_DIR}/message_passing.c)
    target_include_directories(model_relaxed_${relaxed} BEFORE PRIVATE ${copy})
    set_tests_properties(model_relaxed_${relaxed} PROPERTIES
        PASS_REGULAR_EXPRESSION "FAILED in thread [0-9]: a data race: .* record in finder")
endforeach()
