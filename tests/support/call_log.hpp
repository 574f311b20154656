// SPDX-License-Identifier: Apache-2.0
// CallLog: every call that reached the test server, and the faults that wait for some of them.
// Guarded by its owner.
#pragma once

#include "support/protocol.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

namespace uidnfs::test {

/// Who asks, as AUTH_SYS says it.
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups = {};
    friend bool operator==(const Identity&, const Identity&) = default;
};

/// One call in short; what a procedure does not have stays empty.
struct Call {
    Procedure procedure = Procedure::null;
    Identity who = {};
    std::uint64_t fileid = 0;  ///< of the first handle; 0 when it is stale
    std::string name = {};
    std::string other_name = {};  ///< RENAME: the new name
    std::uint64_t offset = 0;     ///< READ, WRITE, COMMIT; cookie of READDIR(PLUS)
    std::uint64_t count = 0;
    std::uint32_t stability = 0;   ///< WRITE: stable_how; CREATE: createmode3; ACCESS: bits
    std::string_view origin = "";  ///< which adapter it came through

    /// "WRITE #7 'name' 4096+100 as 1001:1001"
    std::string describe() const;
};

/// Something that goes wrong with calls that match; the oldest fault that matches is taken.
struct Fault {
    std::optional<Procedure> procedure = {};  ///< any
    unsigned skip = 0;                        ///< matching calls that go well before
    unsigned times = 1;
    std::function<bool(const Call&)> when = {};

    std::optional<Status> fail = {};          ///< answered instead of executing
    std::chrono::milliseconds delay{0};       ///< before it is executed
    std::chrono::milliseconds hold_reply{0};  ///< afterwards: others overtake it (MemoryClient)
    /// Bytes of a READ or WRITE; entries of a listing, which then has more (MemoryClient).
    std::optional<std::uint32_t> at_most;
    enum class Reply : std::uint8_t {
        sent,
        lost,    ///< executed, but nobody hears of it
        ignored  ///< not even executed
    } reply = Reply::sent;
    std::function<void()> before = {};  ///< runs just before execution, without the server's lock
};

class CallLog {
public:
    void add(Fault fault) { faults_.push_back(std::move(fault)); }
    void forget_faults() { faults_.clear(); }
    bool has_faults() const noexcept { return !faults_.empty(); }

    /// Records the call and says what happens to it.
    Fault admit(const Call& call);

    const std::vector<Call>& calls() const noexcept { return calls_; }
    void clear() { calls_.clear(); }

private:
    std::vector<Call> calls_;
    std::list<Fault> faults_;
};

}  // namespace uidnfs::test
