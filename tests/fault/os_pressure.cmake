foreach(call IN ITEMS eventfd poll write pread fstat sysinfo pthread_create pthread_sigmask
                      pthread_attr_setstacksize)
    target_link_options(${test} PRIVATE LINKER:--wrap=${call})
endforeach()
target_sources(${test} PRIVATE unit/support/fake_root.c)
target_include_directories(${test} PRIVATE .)
