# As core_model, on two faces.
target_compile_definitions(${test} PRIVATE INPUT_COUNT=60)
