// SPDX-License-Identifier: Apache-2.0
// Programs that a test starts: gone when the test is, whatever happens to it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace uidnfs::test {

/// A directory below the system's temporary one; removed with all in it.
class TemporaryFolder {
public:
    TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder();
    std::string path(std::string_view name = {}) const;
    /// Writes a file into it and returns its path.
    std::string write(std::string_view name, std::string_view text) const;

private:
    std::filesystem::path path_;
};

class Process {
public:
    Process() = default;
    /// What it prints goes to the end of the file `output`.
    Process(const std::vector<std::string>& command, const std::string& output);
    Process(Process&& other) noexcept;
    Process& operator=(Process&& other) noexcept;
    ~Process() { stop(); }

    /// SIGTERM, and SIGKILL after some seconds.
    void stop();
    void signal(int number) const;
    /// SIGSTOP, and waits until no thread of it runs: one that does may still answer.
    void freeze() const;
    bool is_running() const;
    pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
};

/// Runs it to its end; throws with its output when it fails.
void run(const std::vector<std::string>& command);

std::string read_file(const std::string& path);

/// A port of 127.0.0.1 on which nobody listens.
std::uint16_t free_port();

}  // namespace uidnfs::test
