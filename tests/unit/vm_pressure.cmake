foreach(call IN ITEMS memory pressure_wait pressure_tells pressure_wake)
    target_link_options(${test} PRIVATE LINKER:--wrap=moat_os_${call})
endforeach()
