// SPDX-License-Identifier: Apache-2.0
// AttrCache: the attributes of one inode, how long they may be believed (nfs(5) ac* timers), and
// whether a change was ours or somebody else's (RFC 1813 2.6 wcc_data). Pure; takes the time as an
// argument.
#pragma once

#include "core/clock.hpp"
#include "fs/stamp.hpp"
#include "nfs/types.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace uidnfs::fs {

struct TimerRange {
    std::chrono::milliseconds min{0};
    std::chrono::milliseconds max{0};
};

/// What a reply told about the content.
enum class Change : std::uint8_t {
    none,
    own,
    unknown,  ///< ours, but the server does not say what was there before
    foreign,
};

class AttrCache {
public:
    /// Order of learning, over all inodes: a reply may name one that was not known when it was
    /// asked for. A request takes one when it is sent.
    using Token = std::uint64_t;
    static Token token() noexcept { return last_; }
    /// Of a reply to a call that makes an object: it may be older than what is known.
    static constexpr Token kUnordered = 0;

    bool has_attr() const noexcept { return attr_.has_value(); }
    /// REQUIRES: has_attr().
    const nfs::Attr& attr() const noexcept { return *attr_; }
    bool is_fresh(core::SteadyTime now) const noexcept { return attr_ && now < expires_; }
    /// Zero when not fresh.
    std::chrono::milliseconds remaining(core::SteadyTime now) const noexcept;
    /// They may be older than what a call of ours left behind: not to be shown.
    bool is_doubted() const noexcept { return doubted_ != 0; }
    /// When the server last told the attributes.
    core::SteadyTime confirmed() const noexcept { return confirmed_; }

    /// A file that became a directory is another object, whatever its handle: such attributes are
    /// not believed.
    bool is_of_another_type(const nfs::Attr& attr) const noexcept {
        return attr_ && attr.type != attr_->type;
    }

    /// Attributes from a call that changed nothing; `asked` is the token from before the call.
    /// Replies that were overtaken by newer ones are ignored; where the server's clock is too
    /// coarse to say which is newer, the next use asks.
    Change learn(const nfs::Attr& attr, Token asked, core::SteadyTime now, const TimerRange& range);

    /// Brackets each call of ours that changes the object. A change that only own calls explain is
    /// `own`; the verdict falls when no own call is under way any more (`none` until then).
    void begin_change() noexcept {
        if (changing_++ == 0) {
            began_ = token();
        } else if (order_ == Order::known) {
            order_ = Order::unknown;
        }
    }
    Change end_change(nfs::Wcc wcc, core::SteadyTime now, const TimerRange& range);
    /// A change of ours is under way.
    bool is_changing() const noexcept { return changing_ > 0; }
    /// The call failed without saying anything about the object.
    Change end_change(core::SteadyTime now, const TimerRange& range) {
        return end_change(nfs::Wcc{}, now, range);
    }

    /// A call of ours changed the ctime of this object without saying so (RENAME, REMOVE of one of
    /// its names): the next attributes may differ in ctime alone and still be ours. What was asked
    /// for before this may not show it.
    void expect_ctime_change() noexcept {
        ctime_change_ = CtimeChange::expected;
        doubt();
    }

    /// The next use must ask the server.
    void expire() noexcept { expires_ = core::SteadyTime::min(); }

private:
    /// Two states in one tick of the server's clock, and nobody knows which is the later one:
    /// only what is asked for from now on tells.
    void doubt() noexcept {
        expire();
        doubted_ = sequence_ = ++last_;
    }
    void adopt(const nfs::Attr& attr, core::SteadyTime now, const TimerRange& range);
    bool is_own_halfway(const Stamp& glimpsed) const noexcept;
    Change verdict();

    std::optional<nfs::Attr> attr_;
    core::SteadyTime expires_ = core::SteadyTime::min();
    core::SteadyTime confirmed_ = core::SteadyTime::min();
    std::chrono::milliseconds timeout_{0};
    static inline thread_local Token last_ = 0;
    Token sequence_ = 0;  ///< of the last reply that was believed, or of a doubt
    Token doubted_ = 0;   ///< replies asked for before this one make nothing fresh

    enum class CtimeChange : std::uint8_t { none, expected } ctime_change_ = CtimeChange::none;
    std::uint32_t changing_ = 0;
    Token began_ = 0;  ///< the first of those that are under way
    /// Whether replies of calls that were under way together may have overtaken each other.
    enum class Order : std::uint8_t {
        known,
        unknown,
        lost  ///< they differ within one tick of the server's clock
    } order_ = Order::known;
    std::vector<Stamp> produced_;     ///< stamps that own calls left behind, newest last
    std::vector<Stamp> unexplained_;  ///< from before own calls, and nobody has owned up to them yet
    std::vector<Stamp> glimpsed_;     ///< learnt while own calls were under way
    enum class Before : std::uint8_t { known, missing } before_ = Before::known;
};

/// When a page of a directory was asked for: by the clock, in the order of learning, and by how many
/// changes of ours had ended (Inode::changed_at).
struct Asked {
    core::SteadyTime time{};
    AttrCache::Token token = AttrCache::kUnordered;
    std::uint64_t changes = 0;
};

}  // namespace uidnfs::fs
