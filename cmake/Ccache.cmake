# SPDX-License-Identifier: Apache-2.0
# Compiles through ccache where it is installed, in the presets. Another clone of the same sources finds
# what this one compiled, but for what sees precompiled headers: those are made anew there and differ.
option(UIDNFS_CCACHE "Compile through ccache, if there is one" OFF)
find_program(UIDNFS_CCACHE_PROGRAM ccache)
mark_as_advanced(UIDNFS_CCACHE_PROGRAM)
if(UIDNFS_CCACHE AND UIDNFS_CCACHE_PROGRAM)
    foreach(language C CXX)
        set(CMAKE_${language}_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
            CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${UIDNFS_CCACHE_PROGRAM})
    endforeach()
endif()
