# A component is what a host links: the objects of its rooms in one library, the headers of its folders, one export file.
include_guard()
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(FRUGAL_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/frugal)

# frugal_component(NAME HEADERS folder-or-file ... [ROOMS room ...] [PUBLIC lib ...] [PRIVATE lib ...]): target frugal::NAME.
# Without ROOMS it is headers only; rooms whose folder has not been built are left out.
function(frugal_component name)
  cmake_parse_arguments(C "" "" "HEADERS;ROOMS;PUBLIC;PRIVATE" ${ARGN})
  set(target frugal_${name})
  set(scope PUBLIC)
  if(NOT C_ROOMS)
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  else()
    set(objects)
    foreach(room IN LISTS C_ROOMS)
      if(TARGET frugal_obj_${room})
        list(APPEND objects $<TARGET_OBJECTS:frugal_obj_${room}>)
      endif()
    endforeach()
    add_library(${target} ${objects})
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX POSITION_INDEPENDENT_CODE ON
      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    # Beyond what the objects ask for: the sanitizers' runtime, where one is on.
    target_link_options(${target} PRIVATE $<TARGET_PROPERTY:frugal_flags,INTERFACE_LINK_OPTIONS>)
    target_link_libraries(${target} PUBLIC ${C_PUBLIC} PRIVATE ${C_PRIVATE})
    if(BUILD_SHARED_LIBS AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
      target_link_options(${target} PRIVATE LINKER:--no-undefined) # a component that needs a hidden symbol fails here, not at a host
    endif()
  endif()
  add_library(frugal::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
  target_compile_features(${target} ${scope} cxx_std_20)

  set(headers)
  foreach(place IN LISTS C_HEADERS)
    file(GLOB_RECURSE found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/frugal/${place}
      ${PROJECT_SOURCE_DIR}/include/frugal/${place}/*.hpp)
    list(APPEND headers ${found})
  endforeach()
  target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${headers})
  set_property(GLOBAL APPEND PROPERTY FRUGAL_COMPONENTS ${name})

  if(FRUGAL_INSTALL)
    install(TARGETS ${target} EXPORT frugal-${name} COMPONENT ${name}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
      RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT frugal-${name} FILE frugal-${name}-targets.cmake NAMESPACE frugal:: COMPONENT ${name}
      DESTINATION ${FRUGAL_PACKAGE_DIR})
  endif()
endfunction()

# A pkg-config module for one component; uses what frugal_package has set.
function(frugal_pkg_config FRUGAL_PC_NAME FRUGAL_PC_LIBRARY FRUGAL_PC_DESCRIPTION FRUGAL_PC_REQUIRES)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/frugal.pc.in ${made}/${FRUGAL_PC_NAME}.pc @ONLY)
  install(FILES ${made}/${FRUGAL_PC_NAME}.pc COMPONENT ${FRUGAL_PC_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The package's own files: config, version, the LibTorch finder, pkg-config.
function(frugal_package)
  if(NOT FRUGAL_INSTALL)
    return()
  endif()
  set(made ${PROJECT_BINARY_DIR}/package)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/frugal-config.cmake.in ${made}/frugal-config.cmake
    INSTALL_DESTINATION ${FRUGAL_PACKAGE_DIR})
  write_basic_package_version_file(${made}/frugal-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${made}/frugal-config.cmake ${made}/frugal-config-version.cmake COMPONENT core
    DESTINATION ${FRUGAL_PACKAGE_DIR})
  if(TARGET frugal_torch)
    install(FILES ${PROJECT_SOURCE_DIR}/cmake/frugal-libtorch.cmake COMPONENT torch DESTINATION ${FRUGAL_PACKAGE_DIR})
  endif()
  # Relative to the file itself, so that an install tree may be moved.
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" FRUGAL_PC_PREFIX "\${pcfiledir}/${up}")
  frugal_pkg_config(frugal engine "Language-model requests answered for less money and latency (engine component; C++20)" "")
  if(TARGET frugal_cpu)
    frugal_pkg_config(frugal-cpu cpu "The CPU backend of frugal" "frugal = ${PROJECT_VERSION}")
  endif()
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE COMPONENT core DESTINATION ${CMAKE_INSTALL_DOCDIR})
endfunction()
