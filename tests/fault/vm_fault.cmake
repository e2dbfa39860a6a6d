# Handlers of signals are replaced in this program alone.
target_link_options(${test} PRIVATE LINKER:--wrap=sigaction)
