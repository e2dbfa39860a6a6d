# Installs the build tree into an empty prefix, moves the prefix, looks at the shared library, and
# builds and runs the consumer there. The move shows that no installed file remembers its place.
# Needs BUILD, WORK, C_COMPILER, CXX_COMPILER, FLAGS, NM, READELF.

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/prefix)

# The shared library exports what the public headers declare, and needs libc alone.
file(GLOB library ${WORK}/prefix/lib*/libmoat.so ${WORK}/prefix/lib/*/libmoat.so)
execute_process(COMMAND ${NM} -D --defined-only --format=posix ${library}
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${READELF} -d ${library}
    OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
file(GLOB headers ${WORK}/prefix/include/moat/*.h)
foreach(header IN LISTS headers)
    file(READ ${header} text)
    string(APPEND declared "${text}")
endforeach()
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
if(NOT symbols)
    message(FATAL_ERROR "${library} exports nothing: the public functions lack MOAT_API.")
endif()
foreach(symbol IN LISTS symbols)
    string(REGEX REPLACE " .*" "" symbol "${symbol}")
    if(NOT declared MATCHES "[^A-Za-z0-9_]${symbol}[^A-Za-z0-9_]")
        message(SEND_ERROR "${symbol} is exported, but no public header declares it.")
    endif()
endforeach()
string(REGEX MATCHALL "NEEDED[^\n]*" needed "${dynamic}")
list(FILTER needed EXCLUDE REGEX "\\[(libc\\.so\\.6|ld-linux.*)\\]")
if(needed)
    message(SEND_ERROR "libmoat.so needs more than libc: ${needed}")
endif()
if(NOT dynamic MATCHES "SONAME[^\n]*\\[libmoat\\.so\\.0\\]")
    message(SEND_ERROR "The soname of ${library} is not libmoat.so.0.")
endif()

run(${CMAKE_COMMAND} -G Ninja -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK}/build
    -D CMAKE_PREFIX_PATH=${WORK}/prefix
    -D CMAKE_C_COMPILER=${C_COMPILER}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER}
    -D CMAKE_C_FLAGS=${FLAGS}
    -D CMAKE_CXX_FLAGS=${FLAGS}
    -D CMAKE_COMPILE_WARNING_AS_ERROR=ON)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build --output-on-failure --no-tests=error)
