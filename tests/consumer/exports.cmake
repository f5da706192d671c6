# LIBRARY, NM: a shared frugal exports frugal's own names and the standard library's, none of a private dependency.
execute_process(COMMAND ${NM} -DC --defined-only ${LIBRARY} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
if(NOT symbols MATCHES "frugal::version\\(\\)")
  message(FATAL_ERROR "${LIBRARY} does not export frugal::version()")
endif()
string(REGEX MATCHALL "[^\n]* [TWVBDRu] (typeinfo for |typeinfo name for |vtable for )?(fmt|nlohmann|Eigen|CLI|torch|at|c10)::[^\n]*"
  strangers "${symbols}")
if(strangers)
  list(LENGTH strangers count)
  list(GET strangers 0 first)
  message(FATAL_ERROR "${LIBRARY} exports ${count} names of its private dependencies, the first: ${first}")
endif()
