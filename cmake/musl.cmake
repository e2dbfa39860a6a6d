# SPDX-License-Identifier: MIT
# The toolchain of the preset musl: Debian's musl-tools, which have no compiler of C++. Programs that
# take Moat's static library are linked statically as a whole.
#
# musl-gcc looks in musl's own folder of headers alone, where Debian puts none of the kernel's
# (linux-libc-dev). They are C library headers' neighbours in /usr/include, which as a whole would
# lend the headers of glibc too: a folder with links to the kernel's alone is shown instead.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${CMAKE_HOST_SYSTEM_PROCESSOR})
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR "") # it is this very machine

set(kernel_headers ${CMAKE_BINARY_DIR}/kernel-headers)
file(MAKE_DIRECTORY ${kernel_headers})
foreach(folder IN ITEMS linux asm-generic)
    file(CREATE_LINK /usr/include/${folder} ${kernel_headers}/${folder} SYMBOLIC)
endforeach()
file(CREATE_LINK /usr/include/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu/asm
    ${kernel_headers}/asm SYMBOLIC)

set(CMAKE_C_FLAGS_INIT "-idirafter ${kernel_headers}")
set(MOAT_CXX OFF CACHE BOOL "")
set(MOAT_STATIC_LIBC ON CACHE BOOL "")
