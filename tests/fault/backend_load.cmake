# Loading of libraries is replaced in this program alone.
target_link_options(${test} PRIVATE LINKER:--wrap=dlopen)
