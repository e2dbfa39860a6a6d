# Whether DOCUMENT holds what PROGRAM --markdown prints, to the letter.
execute_process(COMMAND ${PROGRAM} --markdown OUTPUT_VARIABLE table RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR table STREQUAL "")
    message(FATAL_ERROR "${PROGRAM} --markdown printed nothing")
endif()
file(READ ${DOCUMENT} document)
string(FIND "${document}" "${table}" place)
if(place EQUAL -1)
    message(FATAL_ERROR "The table in ${DOCUMENT} is out of date; put in what this prints:\n"
        "    ${PROGRAM} --markdown")
endif()
