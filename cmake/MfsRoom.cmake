# A room is a folder of src/: x.h and x.cc are the code, x_test.cc its unit test beside it.
# mfs_room(<name> DEPS <targets...> [TEST_DEPS <targets...>]) builds libmfs_<name>.a and one test program mfs_<name>_test.
function(mfs_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;TEST_DEPS" ${ARGN})
  set(dir ${PROJECT_SOURCE_DIR}/src/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cc)
  set(tests ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER benches INCLUDE REGEX "_gbench\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|gbench)\\.cc$")

  set(target mfs_${name})
  add_library(${target} STATIC ${sources})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  mfs_compile_options(${target})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${target} PUBLIC ${ROOM_DEPS})

  if(MFS_BUILD_TESTS AND tests)
    mfs_gtest(${target}_test SOURCES ${tests} DEPS ${target} ${ROOM_TEST_DEPS})
  endif()
  if(MFS_BUILD_BENCH AND benches)
    add_executable(${target}_gbench ${benches})
    mfs_compile_options(${target}_gbench)
    target_link_libraries(${target}_gbench PRIVATE ${target} benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()

# mfs_gtest(<target> SOURCES <files...> DEPS <targets...>): a GoogleTest program that ctest knows, case by case.
function(mfs_gtest target)
  cmake_parse_arguments(T "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${target} ${T_SOURCES})
  mfs_compile_options(${target})
  target_link_libraries(${target} PRIVATE ${T_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE
    MFS_SOURCE_DIR="${PROJECT_SOURCE_DIR}" MFS_BINARY_DIR="${PROJECT_BINARY_DIR}")
  gtest_discover_tests(${target} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
endfunction()

function(mfs_compile_options target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-sign-compare -Wno-missing-field-initializers -fno-math-errno -ffp-contract=off>)
  if(MFS_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MFS_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${MFS_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${MFS_SANITIZE})
  endif()
endfunction()

# mfs_embed_page(<target> <folder>): the local page's files become a source of the target (live/page_files.h).
function(mfs_embed_page target dir)
  set(out ${PROJECT_BINARY_DIR}/page_files.cc)
  set(script ${PROJECT_SOURCE_DIR}/cmake/EmbedPage.cmake)
  add_custom_command(OUTPUT ${out} COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DDIR=${dir} -P ${script}
    DEPENDS ${script} ${dir}/index.html ${dir}/page.css ${dir}/page.js VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()
