# Run by CPack on what is about to be packed. What debuggers alone read moves from the shared
# library to a package of its own, under the name by which gdb looks for it, and goes from all else.
# CPack offers the first, but then writes the place of the build into the package.

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE output)
    set(output "${output}" PARENT_SCOPE)
endfunction()

set(staged ${CPACK_TEMPORARY_DIRECTORY})
file(GLOB_RECURSE library ${staged}/runtime/*/libmoat.so.${CPACK_PACKAGE_VERSION})
run(readelf --notes ${library})
if(NOT output MATCHES "Build ID: (..)([0-9a-f]+)")
    message(FATAL_ERROR "${library} has no build ID: gdb would not find what is stripped from it.")
endif()
set(symbols ${staged}/debug/usr/lib/debug/.build-id/${CMAKE_MATCH_1}/${CMAKE_MATCH_2}.debug)
cmake_path(GET symbols PARENT_PATH folder)
file(MAKE_DIRECTORY ${folder})
run(objcopy --only-keep-debug ${library} ${symbols})
file(CHMOD ${symbols} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
run(strip --strip-unneeded --remove-section=.comment ${library})

file(GLOB_RECURSE archive ${staged}/development/*/libmoat.a)
run(strip --strip-debug --remove-section=.comment --enable-deterministic-archives ${archive})

file(GLOB tools ${staged}/tools/usr/bin/*)
run(strip --remove-section=.comment ${tools})

file(GLOB texts ${staged}/*/usr/share/doc/*/changelog ${staged}/*/usr/share/man/man*/*)
run(gzip -9n ${texts})
