target_sources(${test} PRIVATE stress/fork/operations.c)
# Its system calls are stepped through.
set(stepped mmap munmap mprotect madvise syscall)
list(TRANSFORM stepped PREPEND LINKER:--wrap=)
target_link_options(${test} PRIVATE ${stepped})
