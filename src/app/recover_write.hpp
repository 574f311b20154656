// SPDX-License-Identifier: Apache-2.0
// Writing the contents of a recovery file: to the server by file handles (or, where it is another
// file by now and that is wanted, by paths), or below a directory.
#pragma once

#include "app/command_line.hpp"
#include "app/console.hpp"
#include "app/recovery_file.hpp"
#include "core/reactor.hpp"
#include "core/task.hpp"
#include "fs/options.hpp"
#include "nfs/client.hpp"

#include <functional>
#include <string>

namespace uidnfs::app {

/// Says of each file what became of it; counts those that were not written.
class RecoverTold {
public:
    explicit RecoverTold(Console& console) : console_(console) {}

    void written(const RecoveryEntry& entry);
    void is_there(const RecoveryEntry& entry);
    void refused(const RecoveryEntry& entry, std::string_view why);
    std::size_t failures() const noexcept { return failures_; }

private:
    Console& console_;
    std::size_t failures_ = 0;
};

/// Everything in it, each byte in the name of who wrote it, FILE_SYNC. `options`: of the mount.
/// `wait_no_more` is called when a file was put off (JUKEBOX) for as long as the client waits.
core::Task<void> recover_to_server(
    nfs::Client& client,
    const fs::Options& options,
    const Recovery& recovery,
    RecoverArguments::Conflicts conflicts,
    RecoverTold& told,
    const std::function<void()>& wait_no_more
);

/// Below `directory`, by path, without leaving it; whoever runs it is the writer.
void recover_to_directory(
    const std::string& directory,
    const Recovery& recovery,
    RecoverArguments::Conflicts conflicts,
    RecoverTold& told
);

}  // namespace uidnfs::app
