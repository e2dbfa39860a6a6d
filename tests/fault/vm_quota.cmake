target_link_options(${test} PRIVATE
    LINKER:--wrap=moat_region_publish LINKER:--wrap=moat_trap_pages)
