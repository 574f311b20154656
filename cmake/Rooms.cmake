# SPDX-License-Identifier: Apache-2.0
# One static library per room of ARCHITECTURE: uidnfs_room(NAME SOURCES ... ROOMS ... PRIVATE ...).
# ROOMS are the rooms it may use (public), PRIVATE the third-party targets that stay inside it.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_package(Threads REQUIRED)
find_package(Boost 1.81 EXACT REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3>=3.14)
pkg_check_modules(LIBNFS REQUIRED IMPORTED_TARGET libnfs>=4.0.0)

add_library(uidnfs_flags INTERFACE)
target_compile_options(uidnfs_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
    -Wno-missing-field-initializers -fstack-protector-strong
    # g++ 12 reports moves out of an empty optional or variant as uses of garbage, and with -O3 strings
    # that are joined as written beyond their bounds.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    # clang reports references to a sibling in an aggregate that is being made.
    $<$<CXX_COMPILER_ID:Clang>:-Wno-uninitialized>
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-restrict;-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>)
target_compile_definitions(uidnfs_flags INTERFACE
    BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_DATE_TIME
    _FILE_OFFSET_BITS=64 UIDNFS_VERSION="${PROJECT_VERSION}")
target_include_directories(uidnfs_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_definitions(uidnfs_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
if(CMAKE_UNITY_BUILD)
    # The names of one file are not those of the next.
    target_compile_options(uidnfs_flags INTERFACE -Wno-shadow)
endif()
if(UIDNFS_WERROR)
    target_compile_options(uidnfs_flags INTERFACE -Werror)
endif()
if(UIDNFS_COVERAGE)
    # Threads count the same line: not one of them may be lost.
    target_compile_options(uidnfs_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(uidnfs_flags INTERFACE --coverage)
endif()
if(UIDNFS_SANITIZE)
    target_compile_options(uidnfs_flags INTERFACE -fsanitize=${UIDNFS_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(uidnfs_flags INTERFACE -fsanitize=${UIDNFS_SANITIZE})
    if(UIDNFS_SANITIZE MATCHES address)
        # As g++ says it.
        target_compile_definitions(uidnfs_flags INTERFACE $<$<CXX_COMPILER_ID:Clang>:__SANITIZE_ADDRESS__=1>)
    endif()
    if(UIDNFS_SANITIZE MATCHES thread)
        # Asio's memory fences, which the sanitizer does not see; its mutexes it does.
        target_compile_options(uidnfs_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
    endif()
endif()

# uidnfs_precompile(TARGET HEADERS...): parses once what most sources of the target see. Compiling
# many of them as one does that better.
function(uidnfs_precompile TARGET)
    if(NOT CMAKE_UNITY_BUILD)
        target_precompile_headers(${TARGET} PRIVATE ${ARGN})
        # What ccache asks for besides CCACHE_SLOPPINESS (Ccache.cmake).
        target_compile_options(${TARGET} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
    endif()
endfunction()

# ASIO: most of the room sees Asio, so its headers are parsed once.
function(uidnfs_room NAME)
    cmake_parse_arguments(ROOM "ASIO" "" "SOURCES;ROOMS;PRIVATE" ${ARGN})
    add_library(uidnfs_${NAME} STATIC ${ROOM_SOURCES})
    target_link_libraries(uidnfs_${NAME} PUBLIC uidnfs_flags)
    foreach(room ${ROOM_ROOMS})
        target_link_libraries(uidnfs_${NAME} PUBLIC uidnfs_${room})
    endforeach()
    target_link_libraries(uidnfs_${NAME} PRIVATE ${ROOM_PRIVATE})
    if(UIDNFS_FUZZ)
        # Fuzzing is worth what it tries in a second.
        target_compile_options(uidnfs_${NAME} PRIVATE -O2)
    endif()
    if(ROOM_ASIO)
        uidnfs_precompile(uidnfs_${NAME}
            <boost/asio/io_context.hpp> <boost/asio/steady_timer.hpp> <fmt/format.h>
            <functional> <memory> <string> <unordered_map> <vector>)
    endif()
endfunction()

# Sources that stay alone where a target is compiled a dozen files at a time (CMAKE_UNITY_BUILD, the
# presets of the sanitizers): they have names of their own that others of the target have as well, or
# are a library's sources (src.hpp), which a program links once.
function(uidnfs_alone)
    set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
