include(${CMAKE_CURRENT_LIST_DIR}/rules_cxx.cmake)
