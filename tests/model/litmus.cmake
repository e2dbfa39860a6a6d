# SPDX-License-Identifier: MIT
target_link_libraries(${test} PRIVATE model_engine)
