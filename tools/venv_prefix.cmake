# Passed to CMake as CMAKE_PROJECT_INCLUDE, because ROS or NumPy lie in `.venv` inside this checkout.
# Works at the end of the configure step, when all targets are known:
#
# - The exported targets in the ROS wheels name include directories of the machine that built them
#   (/opt/python/...). CMake refuses such targets: directories that do not exist are removed.
# - CMake refuses to export targets that name a directory below the source tree, here NumPy's
#   headers: such directories count for this build only.
function(_repair_include_directories)
  get_directory_property(imported IMPORTED_TARGETS)
  get_directory_property(built BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS imported built)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(kept "")
    foreach(directory IN LISTS directories)
      string(FIND "${directory}" "${CMAKE_SOURCE_DIR}/.venv/" position)
      if(directory MATCHES "^\\$<")
        list(APPEND kept "${directory}")
      elseif(position EQUAL 0 AND target IN_LIST built)
        list(APPEND kept "$<BUILD_INTERFACE:${directory}>")
      elseif(target IN_LIST built OR EXISTS "${directory}")
        list(APPEND kept "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
  endforeach()
endfunction()
cmake_language(DEFER CALL _repair_include_directories)
