# One place for language level, warnings, hardening, sanitizers, linker and compiler cache.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)  # said by hand below: one precompiled header serves all
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(BERTH_SANITIZE "" CACHE STRING "Value for -fsanitize=, for example address,undefined")

find_program(CCACHE ccache)
if(CCACHE)
  # Paths relative to the checkout, so that several work trees share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

add_library(berth_options INTERFACE)
target_compile_options(berth_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -fstack-protector-strong -fPIE)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(berth_options INTERFACE
    -Wno-missing-designated-field-initializers -Xclang -fno-pch-timestamp)
  find_program(LLD NAMES ld.lld-19 ld.lld)
  if(LLD)
    target_link_options(berth_options INTERFACE --ld-path=${LLD})
  endif()
endif()
target_compile_definitions(berth_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  _GLIBCXX_ASSERTIONS SPDLOG_NO_EXCEPTIONS BERTH_VERSION="${PROJECT_VERSION}")
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(berth_options INTERFACE _FORTIFY_SOURCE=3)
endif()
target_link_options(berth_options INTERFACE -pie -Wl,-z,relro,-z,now)
if(BERTH_SANITIZE)
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
  add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BERTH_SANITIZE})
endif()
