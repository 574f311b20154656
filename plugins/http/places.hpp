// SPDX-License-Identifier: Apache-2.0
// Places: the connections of one door, at most so many at a time. Whoever comes to a full door gets
// the place of somebody who is idle, slow, silent or gone; a call whose client waits is never cut.
// Lives on the reactor's thread; owned by the server.
#pragma once

#include "core/clock.hpp"

#include <cstddef>
#include <set>
#include <string>

namespace uidnfs::plugins::http {

class Session;

class Places {
public:
    /// `door` is for the log.
    Places(std::string door, std::size_t most);
    Places(const Places&) = delete;
    Places& operator=(const Places&) = delete;

    bool is_full() const noexcept { return sessions_.size() >= most_; }
    std::size_t taken() const noexcept { return sessions_.size(); }

    /// `session` calls leave() before it is destroyed.
    void take(Session& session);
    void leave(Session* session);

    /// Closes whoever did nothing for longest. False: nobody is here, all wait for answers, or too
    /// many calls that were hung up on go on already.
    bool make_room();
    void close_all();

private:
    bool may_go(const Session& session) const;
    void tell(bool has_room);

    std::string door_;
    std::size_t most_;
    std::set<Session*> sessions_;
    /// Without a place, and what they asked for goes on. INVARIANT: at most `most_`, so that calls
    /// that are begun and hung up on have a limit too.
    std::set<Session*> abandoned_;
    core::SteadyTime told_ = {};
};

}  // namespace uidnfs::plugins::http
