# SPDX-License-Identifier: MIT
# A machine with 32-bit addresses is refused when the project is configured, and told why.
#
#     cmake -D SOURCE=<project> -D WORK=<scratch folder> -D C_COMPILER=<compiler> -P refused.cmake
#
# The compiler needs no library of that machine: nothing is linked.

file(REMOVE_RECURSE ${WORK})
execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}
        -D CMAKE_C_COMPILER=${C_COMPILER} -D CMAKE_C_FLAGS=${FLAGS}
        -D CMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY
        -D MOAT_BUILD_TESTS=OFF -D MOAT_BUILD_BENCH=OFF
    RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
file(REMOVE_RECURSE ${WORK})

string(REGEX REPLACE "[ \n]+" " " said "${said}")
if(status EQUAL 0)
    message(FATAL_ERROR "It was configured for ${C_COMPILER} ${FLAGS}.")
endif()
if(NOT said MATCHES "Moat needs 64-bit addresses, and [^ ]* compiles for 32: ")
    message(FATAL_ERROR "It was refused for another reason: ${said}")
endif()
message("refused with ${FLAGS}, and for the right reason")
