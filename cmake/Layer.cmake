# berth_layer(NAME SOURCES ... LINKS ...) makes one static library of a folder of src/.
# Include paths start at src/, so an include line always names the layer it takes from;
# tests/tidy refuses a line that the picture in docs/architecture.md does not have.
function(berth_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(berth_${name} STATIC ${ARG_SOURCES})
  target_include_directories(berth_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(berth_${name} PUBLIC berth_options ${ARG_LINKS})
  target_precompile_headers(berth_${name} REUSE_FROM berth_pch)
  target_link_libraries(berth_${name} PUBLIC berth_pch)
endfunction()
