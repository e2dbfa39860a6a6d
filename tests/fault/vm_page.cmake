target_link_options(${test} PRIVATE LINKER:--wrap=getauxval)
