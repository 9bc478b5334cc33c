# Outside libraries, all from Debian; tests and benchmarks need ONNX Runtime, too (a pinned npm package, see scripts/fetch.sh).
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
add_library(hwy::hwy ALIAS PkgConfig::hwy)

pkg_check_modules(ffmpeg REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale libavdevice)
add_library(mfs::ffmpeg ALIAS PkgConfig::ffmpeg)

pkg_check_modules(pictures REQUIRED IMPORTED_TARGET libjpeg libpng libwebp libwebpdemux libwebpmux libtiff-4 exiv2)
add_library(mfs::pictures ALIAS PkgConfig::pictures)

if(MFS_WITH_ONNXRUNTIME)
  # ONNX Runtime: scripts/fetch.sh puts it into the cache folder.
  if(DEFINED ENV{MFS_CACHE})
    set(_mfs_cache $ENV{MFS_CACHE})
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(_mfs_cache $ENV{XDG_CACHE_HOME}/mobilefaceswap)
  elseif(DEFINED ENV{HOME})
    set(_mfs_cache $ENV{HOME}/.cache/mobilefaceswap)
  else()
    set(_mfs_cache /tmp/.cache/mobilefaceswap)
  endif()
  set(MFS_ONNXRUNTIME_ROOT ${_mfs_cache}/runtime CACHE PATH "Folder with include/onnxruntime_c_api.h and lib/libonnxruntime.so.1")
  find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h
    HINTS ${MFS_ONNXRUNTIME_ROOT}/include PATH_SUFFIXES onnxruntime)
  find_library(ONNXRUNTIME_LIBRARY NAMES libonnxruntime.so.1 onnxruntime HINTS ${MFS_ONNXRUNTIME_ROOT}/lib)
  if(NOT ONNXRUNTIME_INCLUDE_DIR OR NOT ONNXRUNTIME_LIBRARY)
    message(FATAL_ERROR "ONNX Runtime was not found below ${MFS_ONNXRUNTIME_ROOT}: run scripts/fetch.sh runtime, or set MFS_ONNXRUNTIME_ROOT")
  endif()
  add_library(mfs_onnxruntime SHARED IMPORTED GLOBAL)
  set_target_properties(mfs_onnxruntime PROPERTIES
    IMPORTED_LOCATION ${ONNXRUNTIME_LIBRARY}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${ONNXRUNTIME_INCLUDE_DIR}
    INTERFACE_INCLUDE_DIRECTORIES ${ONNXRUNTIME_INCLUDE_DIR})
  add_library(mfs::onnxruntime ALIAS mfs_onnxruntime)
endif()

if(MFS_BUILD_LIVE AND NOT MFS_BUILD_APPS)
  set(MFS_BUILD_LIVE OFF)  # part of the program, not of the library that others embed
endif()
if(MFS_BUILD_LIVE)
  pkg_check_modules(http REQUIRED IMPORTED_TARGET cpp-httplib)
  add_library(mfs::http ALIAS PkgConfig::http)
  # Optional: without it --window says what to install.
  pkg_check_modules(sdl IMPORTED_TARGET sdl2)
  add_library(mfs_window INTERFACE)
  if(sdl_FOUND)
    target_link_libraries(mfs_window INTERFACE PkgConfig::sdl)
    target_compile_definitions(mfs_window INTERFACE MFS_HAVE_SDL)
  endif()
  add_library(mfs::window ALIAS mfs_window)
endif()

if(MFS_BUILD_APPS OR MFS_BUILD_TRAIN)
  find_package(CLI11 REQUIRED)
endif()
if(MFS_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
if(MFS_BUILD_BENCH)
  find_package(benchmark REQUIRED)
endif()
