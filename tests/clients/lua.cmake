target_link_libraries(${test} PRIVATE PkgConfig::lua)
target_compile_definitions(${test} PRIVATE SCRIPTS="${CMAKE_CURRENT_SOURCE_DIR}/clients/lua")
