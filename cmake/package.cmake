# Debian packages: cmake --workflow --preset package makes build/package/*.deb. With
# SOURCE_DATE_EPOCH in the environment they are the same to the byte wherever they are made.

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime development debug tools)
set(CPACK_PACKAGE_CONTACT "The Moat authors <moat@moat.invalid>" CACHE STRING "Who packages Moat")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/debian/staged.cmake)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(about "\
Pages as VirtualAlloc hands them out, to the error code, for language runtimes,
JITs, buffer pools and servers ported from Windows. What was given back traps
at once, guard pages surround each region, and a report says what happened.

This package has")

# The shared libraries of several minor versions can be installed together.
set(runtime libmoat${MOAT_INTERFACE})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${runtime})
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "${about} the shared library.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(files ${CMAKE_CURRENT_BINARY_DIR}/debian)
file(WRITE ${files}/shlibs "libmoat ${MOAT_INTERFACE} ${runtime} (>= ${PROJECT_VERSION})\n")
file(WRITE ${files}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${files}/shlibs ${files}/triggers)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmoat-dev)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${about} the headers, the static library, and what CMake
and pkg-config need to find them.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${runtime} (= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_DEBUG_PACKAGE_NAME ${runtime}-dbg)
set(CPACK_DEBIAN_DEBUG_DESCRIPTION "${about} the debug symbols of the shared library.")
set(CPACK_DEBIAN_DEBUG_PACKAGE_SECTION debug)
set(CPACK_DEBIAN_DEBUG_PACKAGE_DEPENDS "${runtime} (= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME moat-tools)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "${about} moat-inspect, which shows the regions of a process
or a core dump, and commands for gdb that do the same.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)

# What Debian wants beside each package: whose it is, and what changed.
file(READ LICENSE MOAT_LICENSE)
string(REGEX REPLACE "^.*\n\n(Permission)" "\\1" MOAT_LICENSE "${MOAT_LICENSE}")
string(STRIP "${MOAT_LICENSE}" MOAT_LICENSE)
string(REPLACE "\n\n" "\n.\n" MOAT_LICENSE "${MOAT_LICENSE}")
string(REPLACE "\n" "\n " MOAT_LICENSE "${MOAT_LICENSE}")
string(TIMESTAMP MOAT_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(cmake/debian/copyright.in ${files}/copyright @ONLY)
configure_file(cmake/debian/changelog.in ${files}/changelog @ONLY)
foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    string(TOUPPER CPACK_DEBIAN_${component}_PACKAGE_NAME package)
    install(FILES ${files}/copyright ${files}/changelog
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${${package}} COMPONENT ${component}
        EXCLUDE_FROM_ALL) # of what cmake --install installs
endforeach()

include(CPack)
