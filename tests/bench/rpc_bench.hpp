// SPDX-License-Identifier: Apache-2.0
// What the two clients under comparison have in common: the same work against the same server.
#pragma once

#include "mapper/credential.hpp"
#include "nfs/types.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace uidnfs::bench {

enum class Operation : std::uint8_t { getattr, read, write };

struct Work {
    std::string name;
    Operation operation = Operation::getattr;
    std::uint32_t bytes = 0;  ///< of one READ or WRITE
    unsigned in_flight = 1;
};

struct Place {
    std::string host;
    std::uint16_t port = 2049;
    mapper::CredentialRef credential;
    nfs::FileHandle file;     ///< of kFileBytes bytes
    nfs::FileHandle scratch;  ///< written to
};

inline constexpr std::uint64_t kFileBytes = 64ull << 20;

struct Sample {
    double seconds = 0;
    double cpu_seconds = 0;  ///< user and system time of this process
    std::uint64_t operations = 0;

    double per_second() const { return static_cast<double>(operations) / seconds; }
    double cpu_microseconds() const { return cpu_seconds * 1e6 / static_cast<double>(operations); }
};

/// Offsets that both clients walk in the same order: spread, and never twice in a row.
inline std::uint64_t offset_of(std::uint64_t n, std::uint32_t bytes) {
    const auto blocks = kFileBytes / bytes;
    return n * 7 % blocks * bytes;
}

class Contender {
public:
    virtual ~Contender() = default;
    /// Keeps `work.in_flight` calls going for `duration`. Ends the program on any error.
    virtual Sample run(const Work& work, std::chrono::milliseconds duration) = 0;
};

/// libnfs's raw calls on one connection.
std::unique_ptr<Contender> make_libnfs_contender(const Place& place);

/// Measures what the process uses between construction and stop().
class Meter {
public:
    Meter();
    Sample stop(std::uint64_t operations) const;

private:
    std::chrono::steady_clock::time_point begun_at_;
    double cpu_begun_;
};

[[noreturn]] void fail(const std::string& text);

}  // namespace uidnfs::bench
