// SPDX-License-Identifier: Apache-2.0
// A mount namespace for one thread and those that it starts, in which a file is another.
#pragma once

#include <functional>
#include <string>

namespace uidnfs::test {

enum class OwnWorld { done, no_right };

/// Runs `work` where `path` has the content of the file `instead`. Threads of a Directory that it
/// makes live there too. `path` must exist.
OwnWorld run_with_file(
    const std::string& path, const std::string& instead, const std::function<void()>& work
);

}  // namespace uidnfs::test
