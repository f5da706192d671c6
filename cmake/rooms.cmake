# A room is a folder of src/: compiled once as objects, linked into the component that ships it and into its own tests.
include_guard()
set(FRUGAL_ROOT ${CMAKE_CURRENT_LIST_DIR}/..)

add_library(frugal_flags INTERFACE)
target_compile_features(frugal_flags INTERFACE cxx_std_20)
target_include_directories(frugal_flags INTERFACE ${FRUGAL_ROOT}/include ${FRUGAL_ROOT}/src)
target_compile_options(frugal_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  $<$<BOOL:${FRUGAL_WERROR}>:-Werror>
  # g++ 12 sees an overlap in std::string's own operator+ where there is none
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
if(FRUGAL_SANITIZE)
  target_compile_options(frugal_flags INTERFACE -fsanitize=${FRUGAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(frugal_flags INTERFACE -fsanitize=${FRUGAL_SANITIZE})
endif()
if(NOT BUILD_SHARED_LIBS)
  # Linked statically frugal exports nothing, also from a host that is itself a shared library.
  target_compile_definitions(frugal_flags INTERFACE FRUGAL_API=)
endif()

# frugal_room(NAME SOURCES a.cpp ... [PRIVATE lib ...] [USES room ...]): target frugal_room_NAME (static, for tests) over frugal_obj_NAME.
function(frugal_room name)
  cmake_parse_arguments(R "" "" "SOURCES;PRIVATE;USES" ${ARGN})
  add_library(frugal_obj_${name} OBJECT ${R_SOURCES})
  target_link_libraries(frugal_obj_${name} PRIVATE frugal_flags ${R_PRIVATE})
  set_target_properties(frugal_obj_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  add_library(frugal_room_${name} STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:frugal_obj_${name}>)
  set_target_properties(frugal_room_${name} PROPERTIES LINKER_LANGUAGE CXX)
  list(TRANSFORM R_USES PREPEND frugal_room_)
  target_link_libraries(frugal_room_${name} INTERFACE ${R_USES} ${R_PRIVATE})
endfunction()

# frugal_test(NAME SOURCES a.cpp ... USES room ... [LIBS lib ...] [LABELS l ...] [COMPUTES]): program test_NAME, one ctest entry.
# In a Release build the rooms are optimised, the test's own code hardly (it compiles in 6/10 of the time), unless it COMPUTES much itself.
function(frugal_test name)
  cmake_parse_arguments(T "COMPUTES" "" "SOURCES;USES;LIBS;LABELS" ${ARGN})
  add_executable(test_${name} ${T_SOURCES})
  list(TRANSFORM T_USES PREPEND frugal_room_)
  target_include_directories(test_${name} PRIVATE ${FRUGAL_ROOT}/tests)
  target_link_libraries(test_${name} PRIVATE frugal_flags ${T_USES} ${T_LIBS} Catch2::Catch2WithMain)
  if(NOT T_COMPUTES AND NOT MSVC)
    target_compile_options(test_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  target_compile_definitions(test_${name} PRIVATE FRUGAL_TEST_DATA="${FRUGAL_ROOT}/tests" FRUGAL_DEPS="${FRUGAL_ROOT}/.deps")
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tests)
  add_test(NAME ${name} COMMAND test_${name} --colour-mode none)
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" SKIP_RETURN_CODE 4 TIMEOUT 900)
endfunction()
