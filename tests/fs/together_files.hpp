// SPDX-License-Identifier: Apache-2.0
// TogetherFiles: what threads of a TogetherRun do with files that are open.
#pragma once

#include "fs/together_names.hpp"

namespace uidnfs::test {

class TogetherFiles : protected TogetherNames {
protected:
    using TogetherNames::TogetherNames;

    core::Task<void> use_open(TogetherStep step);
    core::Task<void> close(OpenedRef opened);

private:
    core::Task<void> flush(OpenedRef opened);
    core::Task<void> read(OpenedRef opened, ModelNumbers n);
    void compare_read(
        const Window<std::string>& contents,
        std::size_t offset,
        std::size_t length,
        const std::string& got
    );
    core::Task<void> write(OpenedRef opened, ModelNumbers n, int flags);
    /// O_DIRECT within the file: several at the same time.
    core::Task<void> write_direct(OpenedRef opened, ModelNumbers n);
    core::Task<void> send(OpenedRef opened, std::size_t offset, std::string bytes, int flags);
    core::Task<void> cut(OpenedRef opened, ModelNumbers n);
    core::Task<void> sync(OpenedRef opened);
};

}  // namespace uidnfs::test
