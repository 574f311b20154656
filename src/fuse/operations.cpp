// SPDX-License-Identifier: Apache-2.0
#include "fuse/operations.hpp"

#include "fuse/libfuse.hpp"

namespace uidnfs::fuse {

const fuse_lowlevel_ops& operations() noexcept {
    static const auto table = [] {
        fuse_lowlevel_ops made{};
        add_name_operations(made);
        add_file_operations(made);
        add_directory_operations(made);
        return made;
    }();
    return table;
}

}  // namespace uidnfs::fuse
