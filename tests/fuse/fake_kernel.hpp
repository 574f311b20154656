// SPDX-License-Identifier: Apache-2.0
// FakeKernel: the other end of a socket pair that stands in for /dev/fuse; each message is one
// request or one answer, as there. Owned by a test; one thread.
#pragma once

#include "core/fd.hpp"

#include <linux/fuse.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace uidnfs::test {

/// The bytes of a protocol structure.
template <class T>
std::string raw(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}
/// A name as the protocol has it, terminated.
inline std::string raw_name(std::string_view name) { return std::string(name) + '\0'; }

struct Answer {
    std::uint64_t unique = 0;
    int error = 0;  ///< errno, positive
    std::string body;

    /// Zeroes where the body is too short.
    template <class T>
    T as(std::size_t offset = 0) const {
        T value{};
        if (offset + sizeof value <= body.size()) {
            std::memcpy(&value, body.data() + offset, sizeof value);
        }
        return value;
    }
};

/// Who asks.
struct Asker {
    std::uint32_t uid = 2000;
    std::uint32_t gid = 2001;
    std::uint32_t tid = 4242;
};

class FakeKernel {
public:
    FakeKernel();

    /// The descriptor for the session; once.
    core::Fd take_device() { return std::move(device_); }

    /// Sends a request and returns its unique number.
    std::uint64_t send(std::uint32_t opcode, std::uint64_t node, std::string_view body);
    std::uint64_t send(
        std::uint32_t opcode, std::uint64_t node, std::string_view body, const Asker& asker
    );
    /// With a number of the test's choice.
    void send_as(
        std::uint64_t unique, std::uint32_t opcode, std::uint64_t node, std::string_view body
    );
    void interrupt(std::uint64_t unique);
    /// From now on nothing is known of the request: a question about it is answered ENOENT.
    void forget(std::uint64_t unique);
    /// What the session has answered, oldest first.
    std::optional<Answer> receive();
    /// As umount(2) does: nothing more is asked, and answers find nobody.
    void unmount() { kernel_.reset(); }

private:
    core::Fd kernel_;
    core::Fd device_;
    std::uint64_t next_unique_ = 2;
    /// For one answer. Kept: with the thread sanitizer to clear 2 MiB anew takes 40 ms.
    std::string room_;
};

}  // namespace uidnfs::test
