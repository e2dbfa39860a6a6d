foreach(call IN ITEMS pread fstat)
    target_link_options(${test} PRIVATE LINKER:--wrap=${call})
endforeach()
