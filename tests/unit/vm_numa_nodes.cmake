# A machine with nodes is made believe.
target_link_options(${test} PRIVATE
    LINKER:--wrap=moat_os_numa_nodes LINKER:--wrap=moat_os_numa_set)
