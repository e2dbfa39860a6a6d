# What is installed, and how others find it: a CMake package, two files for pkg-config, and Debian
# packages. The installed tree can be moved: nothing in it remembers where it was.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS moat moat_static EXPORT moat
    LIBRARY COMPONENT runtime NAMELINK_COMPONENT development
    ARCHIVE COMPONENT development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/moat DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# Moat needs libc alone, so the exported targets are the whole package file.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/moat)
write_basic_package_version_file(moatConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT moat NAMESPACE moat:: FILE moatConfig.cmake
    DESTINATION ${package_dir} COMPONENT development)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/moatConfigVersion.cmake
    DESTINATION ${package_dir} COMPONENT development)

# moat.pc is for the shared library, and with --static for programs that are static as a whole;
# moat-static.pc is for Moat alone in the program.
file(RELATIVE_PATH MOAT_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" MOAT_PREFIX_FROM_PC ${MOAT_PREFIX_FROM_PC})
if(NOT MOAT_PAGE_SIZE EQUAL 4096)
    set(MOAT_PC_CFLAGS " -DMOAT_PAGE_BYTES=${MOAT_PAGE_SIZE}")
endif()
foreach(MOAT_PC_NAME IN ITEMS moat moat-static)
    set(MOAT_PC_LIBS "-L\${libdir} -lmoat")
    if(MOAT_PC_NAME STREQUAL moat-static)
        set(MOAT_PC_LIBS "\${libdir}/libmoat.a") # by -l the linker would take the shared one
    endif()
    configure_file(cmake/moat.pc.in ${MOAT_PC_NAME}.pc @ONLY)
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${MOAT_PC_NAME}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endforeach()

include(cmake/manual.cmake)
if(PROJECT_IS_TOP_LEVEL)
    include(cmake/package.cmake)
endif()
