# A moment inside of a call, at which something else is done.
target_link_options(${test} PRIVATE LINKER:--wrap=moat_os_unreserve LINKER:--wrap=moat_os_reserve_at)
