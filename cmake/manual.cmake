# The manual pages, the reference for a browser and the completions for bash, made from the headers
# and from what programs say to --help. Where there is no Python, they are done without.

find_program(MOAT_PYTHON python3)
mark_as_advanced(MOAT_PYTHON)
if(NOT MOAT_PYTHON)
    message(STATUS "No manual pages are made: there is no python3.")
    return()
endif()
set(manual ${CMAKE_CURRENT_BINARY_DIR}/manual)
file(GLOB manual_sources CONFIGURE_DEPENDS include/moat/* tools/manual/*)
foreach(file IN ITEMS inspect/main.c check_common.py check_options.py)
    list(APPEND manual_sources ${PROJECT_SOURCE_DIR}/tools/${file})
endforeach()
list(APPEND manual_sources ${PROJECT_SOURCE_DIR}/src/base/options.c)
list(FILTER manual_sources EXCLUDE REGEX "__pycache__")
add_custom_command(OUTPUT ${manual}/made
    COMMAND ${MOAT_PYTHON} -B ${PROJECT_SOURCE_DIR}/tools/manual/make ${manual}
    COMMAND ${CMAKE_COMMAND} -E touch ${manual}/made
    DEPENDS ${manual_sources}
    VERBATIM)
add_custom_target(moat_manual ALL DEPENDS ${manual}/made)
install(DIRECTORY ${manual}/man/man3 ${manual}/man/man7
    DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT development)
install(DIRECTORY ${manual}/reference
    DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/libmoat-dev COMPONENT development)
if(MOAT_TOOLS)
    install(DIRECTORY ${manual}/man/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT tools)
    install(DIRECTORY ${manual}/completions/
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions COMPONENT tools)
endif()
