// SPDX-License-Identifier: Apache-2.0
// Volumes::Entry and Volumes::Waiter: what is under way for each volume, and who waits for it. For
// volumes*.cpp only.
#pragma once

#include "plugins/core/volumes.hpp"

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

namespace uidnfs::plugins {

/// A volume, and what is under way for it.
struct Volumes::Entry {
    Entry(core::Reactor& reactor, VolumeKey key, Volume::Times times)
        : volume(
              key,
              key.dialect == Dialect::cloudfoundry ? Lifetime::until_unmounted
                                                   : Lifetime::until_removed,
              times
          ),
          timer(reactor.io()) {}

    Volume volume;
    boost::asio::steady_timer timer;
    std::optional<core::SteadyTime> armed;
    std::stop_source unwanted;  // of the step that runs
    std::deque<Event> events;
    enum class Turn { free, taken } turn = Turn::free;
    std::size_t waiting = 0;
};

/// Who waits for an answer.
struct Volumes::Waiter {
    VolumeKey key;
    std::string reference;
    std::string holder;
    std::string peer;
    Decision::Event event = Decision::Event::mount;
    core::SteadyTime since;
    MountReply reply;
    std::optional<std::stop_callback<std::function<void()>>> on_hang_up = {};
};

}  // namespace uidnfs::plugins
