# It sets pages of the machine aside, and others ask whether there are any.
set_tests_properties(${test} PROPERTIES RUN_SERIAL TRUE)
